"""Sessions: an event and the state of session, user and app are written in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Unpack
from weakref import WeakValueDictionary

from google.adk.errors._stale_session_error import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events import Event
from google.adk.platform import time as platform_time
from google.adk.platform import uuid as platform_uuid
from google.adk.sessions import BaseSessionService, Session
from google.adk.sessions.base_session_service import GetSessionConfig, ListSessionsResponse

from botwire import ConflictError, Item
from botwire import operations as ops
from botwire.arguments import check_type
from botwire.names import check_string
from botwire.off_loop import off_loop
from botwire.tagged import from_json, to_json
from botwire_google_adk.convert import USER, from_items, to_items
from botwire_google_adk.opening import Service, ServiceOptions
from botwire_google_adk.stored import (
    Marker,
    StoredSession,
    Where,
    apply,
    load,
    load_all,
    merged,
    prefixed,
    scan,
    shared_entries,
    state_delta,
    versions,
)

_appending: WeakValueDictionary[tuple[int, int], asyncio.Lock] = WeakValueDictionary()
"""By event loop and session object: held while an event is appended."""

_MOST_MISSED = 20  # events that seal one run

_STALE = (
    "The session has been modified in storage since it was loaded. "
    "Please reload the session before appending more events."
)


class BotWireSessionService(Service, BaseSessionService):
    """ADK's sessions on BotWire: ``Runner(session_service=BotWireSessionService("my-app"))``.

    An event and what it changes in the state of the session, the user and the app are written
    together or not at all. The events are a history named ``APP/USER/SESSION``, so the adapter of
    another framework continues the conversation under that name, and this one continues theirs.

    Args:
        namespace: The namespace of the sessions. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        ttl: Seconds after its last event when a session expires; None: never. State of users and
            apps does not expire.
        check_shared_state: Whether an event is refused with `StaleSessionError` if another session
            has written a ``user:`` or ``app:`` key of its `state_delta` since this session was
            loaded. Otherwise the last writer wins, as in ADK's own services.
        **place: Where memory lives; see `ServiceOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        ttl: float | None = None,
        check_shared_state: bool = False,
        **place: Unpack[ServiceOptions],
    ) -> None:
        self.ttl = ops.read_ttl(ttl)
        self.check_shared_state = check_shared_state
        super().__init__(namespace, **place)

    async def create_session(
        self,
        *,
        app_name: str,
        user_id: str,
        state: dict[str, Any] | None = None,
        session_id: str | None = None,
    ) -> Session:
        """Stores a new session and returns it.

        Raises:
            AlreadyExistsError: There is a session, or a conversation of another framework, with
                this id.
        """
        session_id = check_string(session_id or "", "session id").strip()
        session_id = session_id or platform_uuid.new_uuid()
        where = Where(app_name, user_id, session_id)
        stored = await load(self._memory, where, limit=1)
        if stored.exists:
            raise AlreadyExistsError(f"Session with id {session_id} already exists.")
        delta = state_delta(state or {})
        shared = shared_entries(where, delta)
        now = platform_time.get_time()
        try:
            async with self._memory.transaction() as tx:
                tx.set(where.record, where.to_value(now), ttl=self.ttl, if_version=0)
                for key, value in shared.items():
                    tx.set(key, value)
                tx.set(where.state, to_json(delta["session"], "state"), ttl=self.ttl)
                history = tx.history(where.history)
                history.set_metadata({"framework": "google-adk", **where._asdict()})
                if self.ttl is not None:
                    history.expire(self.ttl)
        except ConflictError as error:
            raise AlreadyExistsError(f"Session with id {session_id} already exists.") from error
        written = dict(zip(shared, tx.results[1:], strict=False))
        marker = Marker(stored.info.last_seq, tx.results[0])
        if self.check_shared_state:
            marker = replace(marker, shared={**versions(stored.shared), **written})
        session = Session(
            id=session_id,
            app_name=app_name,
            user_id=user_id,
            state={**merged(delta["session"], stored.app, stored.user), **prefixed(delta)},
            last_update_time=now,
        )
        marker.keep_in(session)
        return session

    async def get_session(
        self,
        *,
        app_name: str,
        user_id: str,
        session_id: str,
        config: GetSessionConfig | None = None,
    ) -> Session | None:
        """Returns a session with its events and the merged state; None if there is none."""
        where = Where(app_name, user_id, check_string(session_id, "session id").strip())
        config = check_type(config or GetSessionConfig(), GetSessionConfig, "config")
        limit = ops.MAX_PAGE if config.num_recent_events is None else config.num_recent_events
        stored = await load(self._memory, where, limit=max(1, min(limit, ops.MAX_PAGE)))
        if not stored.exists:
            return None
        session = Session(
            id=where.session,
            app_name=app_name,
            user_id=user_id,
            state=merged(stored.state, stored.app, stored.user),
            events=await self._events(where, stored, config),
            last_update_time=stored.updated,
        )
        stored.marker(shared=self.check_shared_state).keep_in(session)
        return session

    async def list_sessions(
        self, *, app_name: str, user_id: str | None = None
    ) -> ListSessionsResponse:
        """Returns the sessions of a user or of an app, without events, oldest update first.

        What `get_session` finds is listed, conversations of other frameworks included.
        """
        sessions = await load_all(self._memory, app_name, user_id)
        sessions.sort(key=lambda one: (one.last_update_time, one.user_id, one.id))
        return ListSessionsResponse(sessions=sessions)

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Deletes a session with its events, if it exists. State of user and app stays."""
        where = Where(app_name, user_id, check_string(session_id, "session id").strip())
        async with self._memory.transaction() as tx:
            tx.delete(where.record)
            tx.delete(where.state)
            tx.history(where.history).clear()

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """Returns the state of a user, its keys without ``user:``."""
        entries = await scan(self._memory, Where(app_name, user_id, "").users)
        return {entry.value["name"]: from_json(entry.value["value"]) for entry in entries}

    async def append_event(self, session: Session, event: Event) -> Event:
        """Stores an event with what it changes in the state, and adds it to the session.

        Events that are appended to one session object at the same time, as in live runs, are stored
        one after the other.

        A run that is cancelled and the next one do not disturb each other: the events by which ADK
        ends a cancelled run are stored although others were meanwhile, and others after them.

        Raises:
            SessionNotFoundError: The session is not stored, or was deleted.
            NotJSONError: The state would contain bytes that are not text; nothing changed.
            StaleSessionError: Somebody has written to the session since it was loaded. With
                `check_shared_state`: to a ``user:`` or ``app:`` key that the event writes.
        """
        check_type(session, Session, "session")
        check_type(event, Event, "event")
        key = id(asyncio.get_running_loop()), id(session)
        async with _appending.setdefault(key, asyncio.Lock()):
            return await self._append(session, event)

    async def _append(self, session: Session, event: Event) -> Event:
        if event.partial or any(one.id == event.id and one == event for one in session.events):
            return event  # an event that is delivered again is there once
        delta = state_delta(event.actions.state_delta)  # refused before the session changes
        self._apply_temp_state(session, event)
        event = self._trim_temp_delta_state(event)
        where = Where(session.app_name, session.user_id, session.id)
        items = await off_loop(to_items, event)
        marker = Marker.of(session) or await self._adopt(where, session)
        while True:
            try:
                marker = await self._write(where, event, delta, items, marker)
                break
            except ConflictError as error:
                stored = await load(self._memory, where, limit=_MOST_MISSED)
                if not stored.exists:
                    raise SessionNotFoundError(f"Session {session.id} not found.") from error
                newest = stored.marker(shared=self.check_shared_state)
                if newest.last != marker.last and stored.last_value == items[-1]:
                    marker = newest  # it was stored, and only the answer was lost
                    break
                missed = from_items(stored.items_after(marker.last))[::-1]
                if not _may_follow(missed, event):
                    raise StaleSessionError(_STALE) from error
                session.events += missed
                marker = replace(newest, shared=marker.shared)
        marker.keep_in(session)
        session.last_update_time = event.timestamp
        return self._commit_event_to_session(session, event)

    async def _write(
        self,
        where: Where,
        event: Event,
        delta: Mapping[str, Mapping[str, Any]],
        items: list[dict[str, Any]],
        marker: Marker,
    ) -> Marker:
        agent = None if event.author == USER else event.author
        memory = self.connection.during(agent=agent, run=event.invocation_id).async_memory
        shared = shared_entries(where, delta)
        async with memory.transaction() as tx:
            record = where.to_value(event.timestamp)
            tx.set(where.record, record, ttl=self.ttl, if_version=marker.record)
            tx.history(where.history, ttl=self.ttl).extend(items, if_last=marker.last)
            for key, value in shared.items():
                checked = None if marker.shared is None else marker.shared.get(key, 0)
                tx.set(key, value, if_version=checked)
            if delta["session"] or self.ttl is not None:
                state = {**from_json(await tx.get(where.state, {})), **delta["session"]}
                tx.set(where.state, to_json(state, "state"), ttl=self.ttl)
        version, seqs, *newer = tx.results
        written = None
        if marker.shared is not None:
            written = {**marker.shared, **dict(zip(shared, newer, strict=False))}
        return Marker(seqs[-1], version, written)

    async def _adopt(self, where: Where, session: Session) -> Marker:
        """Returns the marker of a session that was not loaded here, unless it is stale."""
        stored = await load(self._memory, where, limit=1)
        if not stored.exists:
            raise SessionNotFoundError(f"Session {session.id} not found.")
        if stored.updated > session.last_update_time:
            last = from_items(stored.items[:1])
            if [one.id for one in last] != [one.id for one in session.events[-1:]]:
                raise StaleSessionError(_STALE)
        return stored.marker(shared=self.check_shared_state)

    async def _events(
        self, where: Where, stored: StoredSession, config: GetSessionConfig
    ) -> list[Event]:
        """Returns the events that are asked for, read from the last one backwards."""
        most, since = config.num_recent_events, config.after_timestamp
        items, following = stored.items, stored.following
        events: list[Event] = []
        while most is None or len(events) < most:
            found = await off_loop(from_items, items)
            recent = [one for one in found if since is None or one.timestamp >= since]
            events += recent
            if following is None or len(recent) < len(found):
                break
            (page,) = await apply(self._memory, following)
            items = [*map(Item, page.items)]
            following = following.following(page)
        return events[:most][::-1]


def _may_follow(missed: list[Event], event: Event) -> bool:
    """Returns whether an event may be stored after events that its session does not have.

    When a run is cancelled, ADK appends events that answer its open calls. The user's next run may
    have begun by then, and neither knows of the other.
    """
    return bool(missed) and (_seals(event) or all(map(_seals, missed)))


def _seals(event: Event) -> bool:
    # As google.adk.events._abort_events makes them.
    return event.error_code == "INVOCATION_ABORTED" and not event.actions.state_delta
