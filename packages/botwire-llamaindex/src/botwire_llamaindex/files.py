"""Copies stores to the files of LlamaIndex's in-memory stores, and such files to stores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Self

from botwire import ConfigurationError
from botwire.exact import encode
from botwire.files import make_private

_FOLDER = "./storage"  # LlamaIndex's default

Collections = dict[str, dict[str, dict[str, Any]]]
"""The values of several collections, by collection and key."""


def write_file(path: str, content: Any, fs: Any = None) -> None:
    """Writes JSON to a file; a new local file is readable by its owner only.

    Args:
        path: The file. Its folder is created if it does not exist.
        content: A JSON value, encoded before the file is opened.
        fs: An fsspec file system. Defaults to the local one.

    Raises:
        NotJSONError: The content contains a value that JSON lacks.
    """
    text = encode(content, "the store")
    if fs is not None:
        fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        with fs.open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    make_private(path)
    Path(path).write_text(text, encoding="utf-8")


def read_file(path: str, fs: Any = None) -> Any:
    """Returns the JSON value of a file.

    Raises:
        ConfigurationError: The file is not JSON.
        FileNotFoundError: There is no such file.
    """
    if fs is None:
        content = Path(path).read_bytes()
    else:
        with fs.open(path, "rb") as file:
            content = file.read()
    try:
        return json.loads(content)
    except ValueError as error:
        raise ConfigurationError(f"{path} is not JSON, so no store has written it") from error


class SavedAsFile:
    """The methods of LlamaIndex's in-memory stores that save what they hold and load it.

    A BotWire store is persistent, so it needs none of them. They copy it to a file that
    LlamaIndex's own store reads, and move the file of such a store to BotWire.
    """

    file_name: ClassVar[str]
    """LlamaIndex's name for the file in a folder."""

    def to_dict(self) -> Collections:
        """Returns everything the store holds, as LlamaIndex's in-memory store does."""
        raise NotImplementedError

    def add_missing(self, collections: Collections) -> None:
        """Adds values whose keys do not exist yet.

        Large ones take several steps; repeat the call after an interruption.

        Raises:
            ConflictError: The store holds a different value for one of the keys.
            ConfigurationError: The values belong to another store; nothing was written.
        """
        raise NotImplementedError

    @classmethod
    def from_dict(
        cls, save_dict: Collections, namespace: str | None = None, **arguments: Any
    ) -> Self:
        """Returns a store that holds, besides its own, what `to_dict` has returned.

        Args:
            save_dict: The result of `to_dict`, also of LlamaIndex's in-memory store.
            namespace: The namespace.
            **arguments: The other arguments of the class.

        Raises:
            ConflictError: The store holds a different value for one of the keys.
            ConfigurationError: An argument is not valid.
        """
        store = cls(namespace, **arguments)  # type: ignore[call-arg]
        store.add_missing(_checked(save_dict, "save_dict"))
        return store

    def persist(self, persist_path: str | None = None, fs: Any = None) -> None:
        """Writes a copy to a file that LlamaIndex's in-memory store reads.

        Args:
            persist_path: The file. Defaults to LlamaIndex's file in ``./storage``.
            fs: An fsspec file system. Defaults to the local one.

        Raises:
            NotJSONError: A value is not JSON; the file was not touched.
        """
        write_file(persist_path or f"{_FOLDER}/{self.file_name}", self.to_dict(), fs)

    @classmethod
    def from_persist_path(
        cls, persist_path: str, namespace: str | None = None, fs: Any = None, **arguments: Any
    ) -> Self:
        """Returns a store that holds, besides its own, what a file contains.

        Args:
            persist_path: A file that `persist` has written, also of LlamaIndex's in-memory store.
            namespace: The namespace.
            fs: An fsspec file system. Defaults to the local one.
            **arguments: The other arguments of the class.

        Raises:
            ConflictError: The store holds a different value for one of the keys: it has changed
                since the file was written.
            ConfigurationError: An argument is not valid.
            FileNotFoundError: There is no such file.
        """
        content = _checked(read_file(persist_path, fs), persist_path)
        return cls.from_dict(content, namespace, **arguments)

    @classmethod
    def from_persist_dir(
        cls,
        persist_dir: str = _FOLDER,
        namespace: str | None = None,
        fs: Any = None,
        **arguments: Any,
    ) -> Self:
        """Like `from_persist_path`, with LlamaIndex's name for the file in a folder."""
        return cls.from_persist_path(f"{persist_dir}/{cls.file_name}", namespace, fs, **arguments)


def _checked(content: Any, name: str) -> Collections:
    """Returns collections, or refuses what is none."""
    values = content.values() if isinstance(content, dict) else [None]
    for collection in values:
        if not isinstance(collection, dict) or not all(
            isinstance(value, dict) for value in collection.values()
        ):
            raise ConfigurationError(
                f"{name} does not hold collections of LlamaIndex's key-value stores: expected "
                "an object of objects, by collection and key"
            )
    return content  # type: ignore[no-any-return]
