"""Decodes large JSON in pieces, so that no single call of the decoder takes long.

The standard library decodes in one call in C that holds the GIL, however large the text: a body of
a few megabytes would stop a server for seconds. Here the decoder gets pieces of a few kilobytes. A
caller's large value is never turned into objects, only into the text to store.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from botwire import work
from botwire.exact import MAX_DEPTH, Json, encode_decoded

PIECE = 16 * 1024
"""Most characters per call of the decoder."""

_SPACE = re.compile(rf"[ \t\n\r]{{0,{PIECE}}}")
_CHARACTERS = re.compile(
    r"""(?: [^"\\]+ | \\[^u]
        | \\u (?![dD][89abAB]) [0-9a-fA-F]{4}
        | \\u [dD][89abAB] [0-9a-fA-F]{2} \\u (?![dD][89abAB]) [0-9a-fA-F]{4} )*+""",
    re.VERBOSE,
)
"""Characters of a string. The two escapes of a surrogate pair are one character."""
_LONE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])")
"""The escape of a high surrogate without its low one."""
_COMMA = re.compile(r"[ \t\n\r]*,")
_SPACES = (" ", "\t", "\n", "\r")
_VALUES = frozenset({"value", "metadata", "filter"})
"""Fields of operations that contain a caller's value."""
_LISTS = frozenset({"values"})
"""Fields of operations whose elements are callers' values."""
_CUTS = (",", "],", "},")
_REST, _LONGEST_REST = 16, 1024  # parts to read one by one after a wrong guess
_SMALLEST = 256


class DuplicateKeyError(ValueError):
    """An object has a key twice; a decoder would silently keep the last value."""

    def __init__(self, key: str) -> None:
        super().__init__(f"an object has the key {key[:60]!r} twice")


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns an object made of pairs; raises `DuplicateKeyError` if a key is repeated."""
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise DuplicateKeyError(key)
            seen.add(key)
    return made


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"it holds {text}")


_decoder = json.JSONDecoder(object_pairs_hook=unique, parse_constant=_refuse_constant)
_scan = _decoder.raw_decode


def decode(text: str) -> Any:
    """Decodes JSON, in one call if it is short.

    Callers' large values (see `_VALUES`) are returned as `Json` and need no further check.

    Raises:
        ValueError: The text is not JSON, or an object has a key twice.
        RecursionError: The text is nested too deeply.
        NotJSONError: A large value would not come back equal.
    """
    if len(text) <= PIECE:
        return _decoder.decode(text)
    return _Pieces(text).whole()


class _Pieces:
    """The text that is decoded."""

    def __init__(self, text: str) -> None:
        self.text = text
        # Characters to try at once. Shrinks after a failure, so that nested parts are not read once
        # per level.
        self.size = PIECE

    def whole(self) -> Any:
        found, end = self._read(self.skip(0), 0, is_value=False)
        end = self.skip(end)
        if end != len(self.text):
            raise json.JSONDecodeError("Extra data", self.text, end)
        return found

    def skip(self, at: int) -> int:
        """Returns the position after white space."""
        while match := _SPACE.match(self.text, at):
            start, at = at, match.end()
            if at - start < PIECE:
                break
            work.look()
        return at

    def _read(self, at: int, depth: int, *, is_value: bool) -> tuple[Any, int]:
        """Returns the JSON value at a position, and where it ends.

        Args:
            at: The position.
            depth: The number of lists and objects around it.
            is_value: Whether it is a caller's value, which is returned as `Json` if it is large.
        """
        work.look()
        first = self.text[at : at + 1]
        if is_value and self._is_long(at):
            copied: list[str] = []
            end = self._copy_string(at, copied)
            return Json.from_text("".join(copied)), end
        if first not in ("[", "{"):
            return self._scalar(at)
        small = self._small(at)
        if small is not None:
            return small
        if depth >= MAX_DEPTH:
            raise RecursionError
        if is_value:
            parts: list[str] = []
            end = self._copy(at, depth, parts)
            return Json.from_text("".join(parts)), end
        return self._object(at, depth) if first == "{" else self._list(at, depth)

    def _scalar(self, at: int) -> tuple[Any, int]:
        """Returns the value at a position, neither list nor object, and where it ends."""
        if not self._is_long(at):
            return _scan(self.text, at)
        parts: list[str] = []
        for part, end in self._strings(at):
            parts.append(part)
            at = end
        return "".join(parts), at

    def _is_long(self, at: int) -> bool:
        """Returns whether a string begins at a position that may be longer than a piece."""
        text = self.text
        if text[at : at + 1] != '"':
            return False
        end = text.find('"', at + 1, at + PIECE)
        return end < 0 or text[end - 1] == "\\"

    def _strings(self, at: int) -> Iterator[tuple[str, int]]:
        """Yields the parts of a string, and the position after each; the last one is after it."""
        text, start = self.text, at
        at += 1
        while text[at : at + 1] != '"':
            work.look()
            match = _CHARACTERS.match(text, at, at + PIECE + 12)  # the longest character
            if match is None or match.end() == at:
                match = _LONE.match(text, at)
            if match is None:
                _scan(text, start)  # raises an error with the right position
                raise json.JSONDecodeError("Invalid string", text, start)
            try:
                part, _ = _scan(f'"{match.group()}"', 0)
            except json.JSONDecodeError:
                _scan(text, start)
                raise
            at = match.end()
            yield part, at
        yield "", at + 1

    def _small(self, at: int) -> tuple[Any, int] | None:
        """Returns the list or object at a position, and where it ends; None if it is large."""
        piece = self.text[at : at + self.size]
        try:
            found, end = _scan(piece, 0)
        except json.JSONDecodeError:
            if len(piece) < self.size:
                return _scan(self.text, at)  # raises an error with the right position
            self.size = max(_SMALLEST, self.size // 4)
            return None
        self.size = PIECE
        return found, at + end

    def _key(self, at: int) -> tuple[str, int]:
        """Returns the key at a position, and where its value begins."""
        text = self.text
        if text[at : at + 1] != '"':
            raise json.JSONDecodeError(
                "Expecting property name enclosed in double quotes", text, at
            )
        key, at = self._scalar(at)
        at = self.skip(at)
        if text[at : at + 1] != ":":
            raise json.JSONDecodeError("Expecting ':' delimiter", text, at)
        return key, self.skip(at + 1)

    def _next(self, at: int, close: str) -> tuple[int, bool]:
        """Returns where the next part begins, and whether the list or object has ended."""
        at = self.skip(at)
        sign = self.text[at : at + 1]
        if sign == close:
            return at + 1, True
        if sign != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", self.text, at)
        return self.skip(at + 1), False

    # --- structure becomes Python objects ---------------------------------------------------

    def _object(
        self, at: int, depth: int, *, parts_are_values: bool = False
    ) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        at = self.skip(at + 1)
        if self.text[at : at + 1] == "}":
            return found, at + 1
        while True:
            key, at = self._key(at)
            if key in found:
                raise DuplicateKeyError(key)
            if not parts_are_values and key in _LISTS and self.text[at : at + 1] in ("[", "{"):
                read = self._list if self.text[at] == "[" else self._object
                found[key], at = read(at, depth + 1, parts_are_values=True)
            else:
                is_value = parts_are_values or key in _VALUES
                found[key], at = self._read(at, depth + 1, is_value=is_value)
            at, is_last = self._next(at, "}")
            if is_last:
                return found, at

    def _list(
        self, at: int, depth: int, *, parts_are_values: bool = False
    ) -> tuple[list[Any], int]:
        found: list[Any] = []
        at = self.skip(at + 1)
        if self.text[at : at + 1] == "]":
            return found, at + 1
        several = _Several(self, "[]")
        while True:
            parts, at = several.read(at)
            found += parts or ()
            part, at = self._read(self.skip(at), depth + 1, is_value=parts_are_values)
            found.append(part)
            at, is_last = self._next(at, "]")
            if is_last:
                return found, at

    # --- values become text to store --------------------------------------------------------

    def _copy(self, at: int, depth: int, parts: list[str]) -> int:
        """Copies a list or object in canonical form to `parts`; returns where it ends."""
        work.look()
        text = self.text
        if depth >= MAX_DEPTH:
            raise RecursionError
        is_object = text[at] == "{"
        opened, close = ("{", "}") if is_object else ("[", "]")
        parts.append(opened)
        at = self.skip(at + 1)
        if text[at : at + 1] == close:
            parts.append(close)
            return at + 1
        keys: set[str] = set()
        several = _Several(self, opened + close)
        while True:
            made, at = several.read(at)
            if made:
                if is_object:
                    _refuse_known(keys, made)
                parts.append(encode_decoded(made, "the value", depth)[1:-1] + ",")
                at = self.skip(at)
            if is_object:
                key, at = self._key(at)
                _refuse_known(keys, (key,))
                parts.append(encode_decoded(key) + ":")
            at = self._copy_part(at, depth + 1, parts)
            at, is_last = self._next(at, close)
            parts.append(close if is_last else ",")
            if is_last:
                return at

    def _copy_string(self, at: int, parts: list[str]) -> int:
        parts.append('"')
        for part, end in self._strings(at):
            parts.append(encode_decoded(part)[1:-1])
            at = end
        parts.append('"')
        return at

    def _copy_part(self, at: int, depth: int, parts: list[str]) -> int:
        if self._is_long(at):
            return self._copy_string(at, parts)
        if self.text[at : at + 1] in ("[", "{"):
            small = self._small(at)
            if small is None:
                return self._copy(at, depth, parts)
            found, end = small
        else:
            found, end = _scan(self.text, at)
        parts.append(encode_decoded(found, "the value", depth))
        return end


class _Several:
    """Reads many parts of a list or object at once, if possible.

    It guesses that a comma further ahead separates two parts, and the decoder fails if it does not.
    After a wrong guess, it reads parts one by one for a while.
    """

    def __init__(self, pieces: _Pieces, brackets: str) -> None:
        self._pieces = pieces
        self._open, self._close = brackets[0], brackets[1]
        self._wait, self._rest = 0, _REST

    def read(self, at: int) -> tuple[Any, int]:
        """Returns some parts or None, and where the next part begins, of which there is one."""
        if self._wait:
            self._wait -= 1
            return None, at
        text, size = self._pieces.text, self._pieces.size
        for cut in _CUTS:
            end = text.rfind(cut, at, at + size)
            if end < 0:
                continue
            end += len(cut) - 1
            piece = f"{self._open}{text[at:end]}{self._close}"
            try:
                found, stop = _scan(piece, 0)
            except json.JSONDecodeError:
                if self._open == "[":
                    break  # reading one by one is as fast as another guess
                continue
            if stop == len(piece) and found:
                self._rest = _REST
                self._pieces.size = min(PIECE, 4 * size)
                return found, end + 1
        if self._open == "[":
            singly = self._one_by_one(text[at : at + size])
            if singly is not None:
                self._pieces.size = min(PIECE, 4 * size)
                return singly[0], at + singly[1]
        self._wait, self._rest = self._rest, min(_LONGEST_REST, 2 * self._rest)
        return None, at

    def _one_by_one(self, piece: str) -> tuple[list[Any], int] | None:
        """Returns the leading parts of a piece that a comma follows, and where they end."""
        found = []
        at = end = 0
        try:
            while True:
                part, end = _scan(piece, end)
                if piece[end : end + 1] != ",":
                    match = _COMMA.match(piece, end)
                    if match is None:
                        break
                    end = match.end() - 1
                found.append(part)
                at = end = end + 1
                if piece[end : end + 1] in _SPACES:
                    match = _SPACE.match(piece, end)
                    end = end if match is None else match.end()
        except json.JSONDecodeError:
            pass
        return (found, at) if found else None


def _refuse_known(keys: set[str], more: Iterable[str]) -> None:
    for key in more:
        if key in keys:
            raise DuplicateKeyError(key)
    keys.update(more)
