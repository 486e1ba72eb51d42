"""CrewAI's flow states, on BotWire's keys."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

from crewai.flow.async_feedback.types import PendingFeedbackContext
from crewai.flow.persistence.base import FlowPersistence
from pydantic import BaseModel

from botwire import AsyncMemory, Memory
from botwire.arguments import check_type
from botwire.places import DEFAULT_TIMEOUT
from botwire.tagged import from_json, to_json
from botwire_crewai.placed import Placed
from botwire_crewai.runs import find_seen, note_loaded
from botwire_crewai.tenancy import Namespace, Tenancy


class BotWireFlowPersistence(Placed, FlowPersistence):
    """Stores the states of flows: ``@persist(BotWireFlowPersistence("my-flows"))``.

    The state is written after each method. If two runs of one flow overlap, the one that saves
    second gets a `ConflictError`, which CrewAI raises as the cause of a `RuntimeError`. A flow that
    waits for a person's feedback is stored with its question.

    Args:
        namespace: A name, or a function or `ContextVar` that gives the name at each call. Defaults
            to the client's, then to ``BOTWIRE_NAMESPACE``, then to this project's own.
        client: A `Memory` or `AsyncMemory` to use instead of `url` and `api_key`.
        url: Where memory lives, as for `Memory`.
        api_key: The server's API key, as for `Memory`; never part of a dump.
        timeout: Seconds that a call to a server may take, retries included.
    """

    persistence_type: str = "BotWireFlowPersistence"

    def __init__(
        self,
        namespace: Namespace | None = None,
        *,
        client: Memory | AsyncMemory | None = None,
        url: str | None = None,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        **fields: Any,
    ) -> None:
        tenancy = Tenancy(namespace, client=client, url=url, api_key=api_key, timeout=timeout)
        kept: dict[str, Any] = tenancy.reference()
        if "persistence_type" in fields:
            kept["persistence_type"] = fields["persistence_type"]
        super().__init__(**kept)
        self._tenancy = tenancy

    def init_db(self) -> None:
        """Does nothing: there is nothing to prepare."""

    def save_state(
        self, flow_uuid: str, method_name: str, state_data: dict[str, Any] | BaseModel
    ) -> None:
        """Stores the state of a flow after one of its methods.

        Raises:
            ConflictError: Another run saved the state after this one loaded it.
        """
        memory = self._connection.memory
        key = _state_key(flow_uuid)
        value = {"method": method_name, "state": _to_state(state_data)}
        seen = find_seen(memory, flow_uuid, state_data)
        seen.save(lambda version: memory.set(key, value, if_version=version))

    def load_state(self, flow_uuid: str) -> dict[str, Any] | None:
        """Returns the last state of a flow, or None."""
        memory = self._connection.memory
        kept = memory.entry(_state_key(flow_uuid))
        note_loaded(memory, flow_uuid, 0 if kept is None else kept.version)
        return None if kept is None else from_json(kept.value["state"])

    def save_pending_feedback(
        self,
        flow_uuid: str,
        context: PendingFeedbackContext,
        state_data: dict[str, Any] | BaseModel,
    ) -> None:
        """Stores the state of a flow that waits for feedback and its question, in one step.

        Raises:
            ConflictError: Another run saved the state after this one loaded it.
        """
        memory = self._connection.memory
        check_type(context, PendingFeedbackContext, "context")
        key, question = _state_key(flow_uuid), _pending_key(flow_uuid)
        state = _to_state(state_data)
        value = {"method": context.method_name, "state": state}
        pending = {"context": _plain(context.to_dict()), "state": state}

        def write(version: int | None) -> int:
            with memory.transaction() as tx:
                tx.set(key, value, if_version=version)
                tx.set(question, pending)
            new: int = tx.results[0]
            return new

        find_seen(memory, flow_uuid, state_data).save(write)

    def load_pending_feedback(
        self, flow_uuid: str
    ) -> tuple[dict[str, Any], PendingFeedbackContext] | None:
        """Returns the state of a flow that waits for feedback and its question, or None."""
        memory = self._connection.memory
        state = memory.entry(_state_key(flow_uuid))  # read first, so that a newer one is a conflict
        kept = memory.get(_pending_key(flow_uuid))
        if kept is None:
            return None
        note_loaded(memory, flow_uuid, 0 if state is None else state.version)
        context = PendingFeedbackContext.from_dict(from_json(kept["context"]))
        return from_json(kept["state"]), context

    def clear_pending_feedback(self, flow_uuid: str) -> None:
        """Records that a flow no longer waits for feedback."""
        self._connection.memory.delete(_pending_key(flow_uuid))


def _state_key(flow_uuid: str) -> str:
    return f"crewai/flow/{_id(flow_uuid)}/state"


def _pending_key(flow_uuid: str) -> str:
    return f"crewai/flow/{_id(flow_uuid)}/pending"


def _id(flow_uuid: object) -> str:
    # A flow that is started with the number of a row has that as its id. CrewAI's own persistence
    # stores it as text.
    return str(flow_uuid) if type(flow_uuid) is int else check_type(flow_uuid, str, "flow_uuid")


def _to_state(state: dict[str, Any] | BaseModel) -> Any:
    return _plain(_dump(state) if isinstance(state, BaseModel) else state)


def _plain(value: Any) -> Any:
    # Convert as CrewAI's own SQLite persistence does, so that a flow reads back the same values.
    return to_json(json.loads(json.dumps(value, default=_fallback)))


def _fallback(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _dump(value)
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    return value.isoformat() if isinstance(value, (date, datetime)) else str(value)


def _dump(model: BaseModel) -> dict[str, Any]:
    try:
        return model.model_dump(mode="json")
    except Exception:  # noqa: BLE001 - whatever a user's own types and serializers raise
        return model.model_dump()
