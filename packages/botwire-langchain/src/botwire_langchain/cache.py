"""Answers of models, as LangChain's cache."""

from __future__ import annotations

import hashlib
import logging
from typing import Any, Unpack

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.outputs import ChatGeneration, Generation

from botwire import NotJSONError
from botwire.arguments import check_type
from botwire.client.encoding import encode_each
from botwire.connection import Connected, ConnectionOptions
from botwire.exact import Json
from botwire.names import check_prefix
from botwire.off_loop import off_loop
from botwire.operations import read_ttl
from botwire.tagged import from_json, to_json
from botwire_langchain.convert import from_native, to_native

logger = logging.getLogger("botwire.langchain")


class BotWireCache(Connected, BaseCache, framework="langchain", shows="prefix"):
    """A cache of model answers that all processes share.

    Args:
        namespace: The namespace of the cache. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        prefix: The prefix of the cache's keys in the namespace; other keys are left alone.
        ttl: Seconds until an answer expires; None: never.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        prefix: str = "cache/",
        ttl: float | None = None,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        super().__init__(namespace, **connection)
        self.prefix = check_prefix(prefix)
        self.ttl = read_ttl(ttl)

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """Returns the stored answer to a prompt, or None."""
        return _generations(self.connection.memory.get(self._key(prompt, llm_string)))

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """Like `lookup`."""
        found = await self.connection.async_memory.get(self._key(prompt, llm_string))
        return await off_loop(_generations, found)

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Stores the answer to a prompt, unless JSON cannot hold it; then a warning is logged."""
        key, value = self._key(prompt, llm_string), _to_value(return_val)
        if value is not None:
            self.connection.memory.set(key, value, ttl=self.ttl)

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Like `update`."""
        key, value = self._key(prompt, llm_string), await off_loop(_to_value, return_val)
        if value is not None:
            await self.connection.async_memory.set(key, value, ttl=self.ttl)

    def clear(self, **kwargs: Any) -> None:
        """Deletes every answer of this cache."""
        self.connection.memory.clear(self.prefix + "*")

    async def aclear(self, **kwargs: Any) -> None:
        """Like `clear`."""
        await self.connection.async_memory.clear(self.prefix + "*")

    def _key(self, prompt: str, llm_string: str) -> str:
        check_type(prompt, str, "prompt")
        check_type(llm_string, str, "llm_string")
        # A prompt may be longer than a key, and its hash does not reveal what was asked.
        text = f"{len(prompt)}:{prompt}{llm_string}"
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
        return self.prefix + digest.hexdigest()


def _to_value(generations: RETURN_VAL_TYPE) -> list[dict[str, Any]] | None:
    """Returns the value to store; None if JSON cannot hold it."""
    given = encode_each(generations, Generation, "return_val", "generations")
    try:
        return [_to_json(generation, f"return_val[{i}]") for i, generation in enumerate(given)]
    except NotJSONError as error:
        # LangChain would raise it instead of returning the answer, which has been paid for.
        logger.warning("an answer is not cached, and the model will be asked again: %s", error)
        return None


def _to_json(generation: Generation, path: str) -> dict[str, Any]:
    info = to_json(generation.generation_info, f"{path}.generation_info")
    kept = {"text": generation.text, "info": info}
    if isinstance(generation, ChatGeneration):
        kept["message"] = to_native(generation.message, f"{path}.message")
    return kept


def _generations(kept: list[dict[str, Any]] | None) -> list[Generation] | None:
    if kept is None:
        return None
    try:
        return [_generation(part) for part in kept]
    except Exception as error:  # noqa: BLE001 - whatever it is, the model can be asked again
        logger.warning("a cached answer cannot be read, so the model is asked again: %s", error)
        return None


def _generation(part: dict[str, Any]) -> Generation:
    info = from_json(part["info"])
    if "message" in part:
        message = from_native(Json.from_decoded(part["message"]))
        return ChatGeneration(message=message, generation_info=info)
    return Generation(text=part["text"], generation_info=info)
