"""Sets, plans and applies retention for a whole store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Any, Self

from botwire import operations as ops
from botwire.client._async.calls import AsyncCalls
from botwire.engines.opening import check_async_engine, open_async_engine
from botwire.engines.protocol import AsyncEngine
from botwire.errors import NotFoundError, PermissionDeniedError
from botwire.names import SYSTEM_NAMESPACE, matches
from botwire.operations import RetentionPolicy, read_author
from botwire.places import find_place
from botwire.retention.report import Limits, Removal, Report, prefix_of

_TOGETHER = 50  # histories examined per call


class AsyncRetention:
    """The retention policies and holds of a store.

    Args:
        url: Where memory lives, as for `AsyncMemory`.
        api_key: The API key for a server. It needs the right `admin` for the namespaces that the
            policies cover.
        timeout: Seconds that a call to a server may take, retries included.
        author: Who makes the changes, for the audit log: the name of an agent, or an `Author`.
        engine: An open engine, instead of `url`, `api_key` and `timeout`. You close it.
    """

    def __init__(
        self,
        *,
        url: str | None = None,
        api_key: str | None = None,
        timeout: float = 300.0,
        author: ops.Author | str | None = None,
        engine: AsyncEngine | None = None,
    ) -> None:
        self._owns_engine = engine is None
        self._engine: AsyncEngine = (
            open_async_engine(find_place(url, api_key, timeout))
            if engine is None
            else check_async_engine(engine)
        )
        self._author = read_author(author)

    def _calls(self, namespace: str = SYSTEM_NAMESPACE) -> AsyncCalls:
        return AsyncCalls(self._engine, namespace, self._author)

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._owns_engine:
            await self._engine.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    # --- policies and holds -----------------------------------------------------------------

    async def set(self, policy: RetentionPolicy) -> None:
        """Sets a policy, or replaces the one with its name and its pattern of namespaces.

        Nothing is deleted before `apply`. A hold is in force when this returns, and what it covers
        no longer expires.

        Raises:
            ConflictError: A hold of this name exists and this is a limit, or the reverse.
        """
        await self._calls().apply(ops.SetPolicy(policy))
        if policy.hold:
            async for namespace in self._namespaces(policy.namespaces):
                await self._calls(namespace).in_parts(ops.KeepExpiring())

    async def hold(
        self,
        name: str,
        namespaces: str,
        *,
        histories: str | None = None,
        reason: str | None = None,
    ) -> None:
        """Prevents namespaces or histories from being deleted, until `remove`.

        Args:
            name: The name of the hold.
            namespaces: A pattern of namespaces; ``*`` matches any characters.
            histories: A pattern of histories; None: everything in the namespaces.
            reason: The reason; errors and the audit log quote it.
        """
        policy = RetentionPolicy(name, namespaces, histories, hold=True, reason=reason)
        await self.set(policy)

    async def remove(self, name: str, namespaces: str) -> None:
        """Removes a policy, or releases a hold. Expiries that a hold removed are not restored.

        Raises:
            NotFoundError: No policy has this name and this pattern of namespaces.
        """
        if not await self._calls().apply(ops.DropPolicy(name, namespaces)):
            raise NotFoundError(
                f"there is no policy {name!r:.80} on the namespaces {namespaces!r:.80}: botwire "
                "retention list shows all"
            )

    async def policies(self, within: str = "*") -> list[RetentionPolicy]:
        """Returns the policies, then the holds.

        Args:
            within: Only policies on namespaces within this pattern.
        """
        return list(await self._calls().apply(ops.ListPolicies(within)))

    # --- plan and apply ---------------------------------------------------------------------

    async def plan(self, within: str = "*") -> Report:
        """Returns what `apply` would delete, without changing anything.

        Args:
            within: Use only the policies on these namespaces; see `policies`.
        """
        return Report([one async for one in self._removals(within, is_plan=True)])

    async def apply(self, within: str = "*") -> Report:
        """Deletes what exceeds the limits, and returns what was deleted.

        Deletes in parts, so that others can write. After an interruption, call it again.

        Args:
            within: Use only the policies on these namespaces; see `policies`.
        """
        return Report([one async for one in self._removals(within, is_plan=False)])

    async def _removals(self, within: str, *, is_plan: bool) -> AsyncIterator[Removal]:
        policies = [one for one in await self.policies(within) if not one.hold]
        seen: set[str] = set()
        for pattern in dict.fromkeys(policy.namespaces for policy in policies):
            async for namespace in self._namespaces(pattern):
                if namespace in seen:
                    continue
                seen.add(namespace)
                here = [one for one in policies if matches(one.namespaces, namespace)]
                async for removal in self._trim_histories(namespace, here, is_plan=is_plan):
                    yield removal
                limits = Limits.of(one for one in here if one.histories is None)
                if limits is None:
                    continue
                async for page in self._calls(namespace).pages(ops.ListCollections()):
                    for collection in page.collections:
                        removal = await self._trim_records(
                            namespace, collection, limits, is_plan=is_plan
                        )
                        if removal.count or removal.held:
                            yield removal

    async def _namespaces(self, pattern: str) -> AsyncIterator[str]:
        """Yields the namespaces that a pattern matches."""
        if "*" not in pattern:
            # Do not create the namespace just for this.
            if (await self._calls(pattern).apply(ops.StatNamespace())).created_at is not None:
                yield pattern
            return
        async for page in self._calls().pages(ops.ListNamespaces(prefix_of(pattern))):
            for entry in page.namespaces:
                if matches(pattern, entry.name):
                    yield entry.name

    async def _trim_histories(
        self, namespace: str, policies: Iterable[RetentionPolicy], *, is_plan: bool
    ) -> AsyncIterator[Removal]:
        calls = self._calls(namespace)
        patterns = {policy: policy.histories or "*" for policy in policies}
        prefixes = {prefix_of(pattern) for pattern in patterns.values()}
        prefix = prefixes.pop() if len(prefixes) == 1 else ""
        asked: list[tuple[str, Limits]] = []
        async for page in calls.pages(ops.ListHistories(prefix)):
            for stat in page.histories:
                limits = Limits.of(
                    policy for policy, pattern in patterns.items() if matches(pattern, stat.name)
                )
                if limits is not None:
                    asked.append((stat.name, limits))
        for start in range(0, len(asked), _TOGETHER):
            some = asked[start : start + _TOGETHER]
            finds = [ops.FindOldItems(name, *limits[1:]) for name, limits in some]
            found = await calls.apply_all(finds)
            for (_, limits), find, first in zip(some, finds, found, strict=True):
                removal = await self._trim_history(calls, find, first, limits, is_plan=is_plan)
                if removal.count or removal.bytes or removal.held:
                    yield removal

    async def _trim_history(
        self,
        calls: AsyncCalls,
        find: ops.FindOldItems,
        found: ops.OldItems,
        limits: Limits,
        *,
        is_plan: bool,
    ) -> Removal:
        count = size = 0
        while found.items or found.bytes:
            if is_plan:
                count, size = count + found.items, size + found.bytes
                find = replace(find, after=found.up_to, gone_items=count, gone_bytes=size)
            else:
                trim = ops.TrimHistory(find.name, found.up_to, limits.policy)
                trimmed = await _unless_held(calls, trim)
                if trimmed is None:
                    found = found._replace(held=True)
                    break
                count, size = count + trimmed.count, size + trimmed.bytes
            if not found.more:
                break
            found = await calls.apply(find)
        namespace, policy = calls.namespace, limits.policy
        return Removal(namespace, "history", find.name, policy, count, size, found.held)

    async def _trim_records(
        self, namespace: str, collection: str, limits: Limits, *, is_plan: bool
    ) -> Removal:
        calls = self._calls(namespace)
        find = ops.FindOldRecords(collection, *limits[1:])
        count = size = 0
        while True:
            found: Any = await calls.apply(find)
            if found.ids and is_plan:
                count, size = count + len(found.ids), size + found.bytes
                find = replace(find, gone_records=count, gone_bytes=size)
            elif found.ids:
                trim = ops.TrimRecords(collection, tuple(found.ids), limits.policy)
                trimmed = await _unless_held(calls, trim)
                if trimmed is None:
                    found = found._replace(held=True, after=None)
                else:
                    count, size = count + trimmed.count, size + trimmed.bytes
            if found.after is None:
                break
            find = replace(find, after=found.after, after_time=found.after_time)
        policy = limits.policy
        return Removal(namespace, "collection", collection, policy, count, size, found.held)


async def _unless_held(
    calls: AsyncCalls, trim: ops.TrimHistory | ops.TrimRecords
) -> ops.Trimmed | None:
    """Applies a trim; returns None if a hold was set after the trim was planned."""
    try:
        return await calls.apply(trim)
    except PermissionDeniedError as error:
        if "hold" not in error.detail:
            raise
        return None
