"""The states of CrewAI's flows, on BotWire's keys."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

from crewai.flow.async_feedback.types import PendingFeedbackContext
from crewai.flow.persistence.base import FlowPersistence
from pydantic import BaseModel, PrivateAttr, field_serializer

from botwire import AsyncMemory, Memory
from botwire.connection import Connection
from botwire.places import DEFAULT_TIMEOUT
from botwire.tagged import from_json, to_json
from botwire_crewai.tenancy import Namespace, Tenancy


class BotWireFlowPersistence(FlowPersistence):
    """Keeps the state of flows: ``@persist(BotWireFlowPersistence("my-flows"))``.

    The state is written after each method, and the last one wins; a flow that waits for a
    person's feedback is kept with its question.

    Args:
        namespace: Whose states: a name, or a function or `ContextVar` that says it at each call.
            Unset: the client's, else ``BOTWIRE_NAMESPACE``, else one of this project's own.
        client: A `Memory` or `AsyncMemory` to use.
        url: Where memory lives, as for `Memory`.
        api_key: For a server, as for `Memory`; never part of a dump.
        timeout: Seconds that a call to a server may take in all.
    """

    persistence_type: str = "BotWireFlowPersistence"
    namespace: str = "default"
    url: str | None = None
    _tenancy: Tenancy = PrivateAttr()

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

    @property
    def _connection(self) -> Connection:
        return self._tenancy.connection

    @field_serializer("namespace")
    def _dump_namespace(self, _: str) -> str:
        return self._connection.namespace

    def init_db(self) -> None:
        """Does nothing: there is nothing to prepare."""

    def save_state(
        self, flow_uuid: str, method_name: str, state_data: dict[str, Any] | BaseModel
    ) -> None:
        """Keeps the state of a flow after one of its methods."""
        value = {"method": method_name, "state": _to_state(state_data)}
        self._connection.memory.set(_state_key(flow_uuid), value)

    def load_state(self, flow_uuid: str) -> dict[str, Any] | None:
        """Returns the last state of a flow, or None."""
        kept = self._connection.memory.get(_state_key(flow_uuid))
        return None if kept is None else from_json(kept["state"])

    def save_pending_feedback(
        self,
        flow_uuid: str,
        context: PendingFeedbackContext,
        state_data: dict[str, Any] | BaseModel,
    ) -> None:
        """Keeps the state of a flow that waits for feedback, and what it asked, in one step."""
        state = _to_state(state_data)
        with self._connection.memory.transaction() as tx:
            tx.set(_state_key(flow_uuid), {"method": context.method_name, "state": state})
            tx.set(_pending_key(flow_uuid), {"context": _plain(context.to_dict()), "state": state})

    def load_pending_feedback(
        self, flow_uuid: str
    ) -> tuple[dict[str, Any], PendingFeedbackContext] | None:
        """Returns the state of a flow that waits for feedback and what it asked, or None."""
        kept = self._connection.memory.get(_pending_key(flow_uuid))
        if kept is None:
            return None
        context = PendingFeedbackContext.from_dict(from_json(kept["context"]))
        return from_json(kept["state"]), context

    def clear_pending_feedback(self, flow_uuid: str) -> None:
        """Forgets that a flow waits for feedback."""
        self._connection.memory.delete(_pending_key(flow_uuid))


def _state_key(flow_uuid: str) -> str:
    return f"crewai/flow/{flow_uuid}/state"


def _pending_key(flow_uuid: str) -> str:
    return f"crewai/flow/{flow_uuid}/pending"


def _to_state(state: dict[str, Any] | BaseModel) -> Any:
    return _plain(_dump(state) if isinstance(state, BaseModel) else state)


def _plain(value: Any) -> Any:
    # As CrewAI's own SQLite persistence writes it, so that a flow finds what it would find there.
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
