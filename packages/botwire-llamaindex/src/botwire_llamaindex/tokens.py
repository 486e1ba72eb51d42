"""Token counts, cached per text, and references to tokenizers in dumps."""

from __future__ import annotations

import hashlib
import logging
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Any

from llama_index.core.utils import get_tokenizer

from botwire import ConfigurationError
from botwire.names import shown

logger = logging.getLogger("botwire.llamaindex")

Tokenizer = Callable[[str], Sequence[Any]]
"""Splits a text into tokens."""

_REMEMBERED = 2**16
_counts: OrderedDict[tuple[Tokenizer, bytes], int] = OrderedDict()
_tokenizers: OrderedDict[str, Tokenizer] = OrderedDict()
_TOKENIZERS_REMEMBERED = 100
_lock = threading.Lock()


def count_tokens(tokenizer: Tokenizer, text: str) -> int:
    """Returns how many tokens a text has.

    Each turn of an agent asks for the same messages several times, and splitting them takes longer
    than reading them. So this remembers recent counts, shared by all memories of this process. It
    keeps the counts, not the texts.
    """
    try:
        hash(tokenizer)
    except TypeError:  # the tokenizer is not hashable, so its counts cannot be cached
        return _length(tokenizer, text)
    key = (tokenizer, hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest())
    with _lock:
        if (count := _counts.get(key)) is not None:
            _counts.move_to_end(key)
            return count
    count = _length(tokenizer, text)
    with _lock:
        _counts[key] = count
        if len(_counts) > _REMEMBERED:
            _counts.popitem(last=False)
    return count


def _length(tokenizer: Tokenizer, text: str) -> int:
    tokens = tokenizer(text)
    if not isinstance(tokens, Sized):
        raise ConfigurationError(
            f"tokenizer_fn must return the tokens of a text, not {type(tokens).__name__}: "
            f"{shown(tokens)}"
        )
    return len(tokens)


def name_tokenizer(tokenizer: Tokenizer) -> dict[str, str]:
    """Returns a reference to a tokenizer for `find_tokenizer`; empty for LlamaIndex's own.

    A tokenizer is a function of this process, so a dump can only refer to it.
    """
    if repr(tokenizer) == repr(get_tokenizer()):  # a pickled memory has a copy, which is not equal
        return {}
    with _lock:
        names = (name for name, known in _tokenizers.items() if known == tokenizer)
        name = next(names, uuid.uuid4().hex)
        _tokenizers[name] = tokenizer
        if len(_tokenizers) > _TOKENIZERS_REMEMBERED:
            _tokenizers.popitem(last=False)
    return {"tokenizer": name}


def find_tokenizer(data: Mapping[str, Any]) -> Tokenizer:
    """Returns the tokenizer that a dump from this process refers to, else LlamaIndex's own."""
    name = data.get("tokenizer")
    if name is None:
        return get_tokenizer()
    if name not in _tokenizers:
        logger.warning(
            "a memory was written down in another process, where it had a tokenizer of its own: "
            "here tokens are counted with LlamaIndex's"
        )
    return _tokenizers.get(name) or get_tokenizer()
