"""Artifacts: files of sessions and users, each with its versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from google.adk.artifacts import BaseArtifactService
from google.adk.artifacts.artifact_util import (
    get_artifact_uri,
    is_artifact_ref,
    parse_artifact_uri,
    validate_artifact_reference_scope,
    validate_path_segment,
)
from google.adk.artifacts.base_artifact_service import ArtifactVersion, ensure_part
from google.adk.errors.input_validation_error import InputValidationError
from google.genai import types

from botwire import AsyncHistory, ConfigurationError, ConflictError
from botwire.client.encoding import encode_object
from botwire.deleting import adelete_in_parts
from botwire.names import check_string, join_parts
from botwire_google_adk.opening import Service

_ARTIFACTS = "google-adk/artifact"
_USER = "user:"
_MOST_REFERENCES = 5  # as in ADK's own services: references may go in circles
_ATTEMPTS = 100
_REMOVED = types.Blob(mime_type="application/octet-stream", data=b"")
"""What a rewind of a session saves as the version of a file that did not exist then."""


class BotWireArtifactService(Service, BaseArtifactService):
    """ADK's artifacts on BotWire: ``Runner(artifact_service=BotWireArtifactService("my-app"))``.

    Versions count from 0. Two processes that save one file at the same time get two versions.

    Args:
        namespace: The namespace of the artifacts. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        **place: Where memory lives; see `ServiceOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    async def save_artifact(
        self,
        *,
        app_name: str,
        user_id: str,
        filename: str,
        artifact: types.Part | dict[str, Any],
        session_id: str | None = None,
        custom_metadata: dict[str, Any] | None = None,
    ) -> int:
        """Stores a new version of a file and returns its number.

        Raises:
            InputValidationError: A name or the artifact is not valid.
            ConfigurationError: An argument has the wrong type.
        """
        file = _File.of(app_name, user_id, session_id, filename)
        if not isinstance(artifact, (types.Part, Mapping)):
            raise ConfigurationError(
                f"artifact must be a Part of google.genai, not {type(artifact).__name__}"
            )
        part = ensure_part(artifact)
        metadata = encode_object(custom_metadata or {}, "custom_metadata")
        held = {
            "part": part.model_dump(
                mode="json", exclude_none=True, exclude={"inline_data": {"data"}}
            ),
            "mime_type": _mime_type(part, file),
            "custom_metadata": metadata.value,
        }
        history = self._memory.history(file.name)
        for attempt in range(1, _ATTEMPTS + 1):
            info = await history.info()
            version = info.count
            try:
                async with self._memory.transaction() as tx:
                    written = tx.history(file.name)
                    written.extend([held], if_last=info.last_seq)
                    written.set_metadata(file._asdict())
                    if part.inline_data is not None:
                        tx.set(file.payload(version), part.inline_data.data or b"")
            except ConflictError:
                if attempt == _ATTEMPTS:
                    raise
            else:
                return version
        raise AssertionError("unreachable")

    async def load_artifact(
        self,
        *,
        app_name: str,
        user_id: str,
        filename: str,
        session_id: str | None = None,
        version: int | None = None,
    ) -> types.Part | None:
        """Returns a version of a file, by default the last one; None if there is none.

        Raises:
            InputValidationError: A name is not valid, or a reference leads elsewhere or in circles.
        """
        file = _File.of(app_name, user_id, session_id, filename)
        for _ in range(_MOST_REFERENCES + 1):
            found = await self._version(file, version)
            if found is None:
                return None
            number, held, _ = found
            part = types.Part.model_validate(held["part"])
            if is_artifact_ref(part):
                file, version = file.referred(part)
                continue
            if part.inline_data is not None:
                part.inline_data.data = await self._memory.get(file.payload(number), b"")
            return None if part == types.Part() or part.inline_data == _REMOVED else part
        raise InputValidationError(f"{filename!r}: {_MOST_REFERENCES} references in a row")

    async def list_artifact_keys(
        self, *, app_name: str, user_id: str, session_id: str | None = None
    ) -> list[str]:
        """Returns the names of the files of a user and, if it is given, of a session."""
        scopes = [_File.of(app_name, user_id, session_id, _USER)]
        if session_id is not None:
            scopes.append(_File.of(app_name, user_id, session_id, ""))
        return sorted(
            [
                info.metadata["filename"]
                for scope in scopes
                for info in await self._memory.list_histories(scope.folder)
            ]
        )

    async def delete_artifact(
        self, *, app_name: str, user_id: str, filename: str, session_id: str | None = None
    ) -> None:
        """Deletes a file with all its versions, if it exists: thousands of them in several steps.

        The first step hides the file from readers. After a failure, call this again.
        """
        file = _File.of(app_name, user_id, session_id, filename)
        payloads = await self._memory.list_keys(f"{file.name}/")
        # By number, so that a version saved meanwhile, which counts from 0 again, is not deleted.
        payloads.sort(key=lambda key: (len(key), key))
        await adelete_in_parts(self._memory, payloads, histories=[file.name])

    async def list_versions(
        self, *, app_name: str, user_id: str, filename: str, session_id: str | None = None
    ) -> list[int]:
        """Returns the numbers of a file's versions."""
        file = _File.of(app_name, user_id, session_id, filename)
        return list(range(await self._history(file).count()))

    async def list_artifact_versions(
        self, *, app_name: str, user_id: str, filename: str, session_id: str | None = None
    ) -> list[ArtifactVersion]:
        """Returns what is known of a file's versions."""
        file = _File.of(app_name, user_id, session_id, filename)
        items = await self._history(file).read()
        return [
            file.described(version, item.value, item.created_at.timestamp())
            for version, item in enumerate(items)
        ]

    async def get_artifact_version(
        self,
        *,
        app_name: str,
        user_id: str,
        filename: str,
        session_id: str | None = None,
        version: int | None = None,
    ) -> ArtifactVersion | None:
        """Returns what is known of a version, by default the last one; None if there is none."""
        file = _File.of(app_name, user_id, session_id, filename)
        found = await self._version(file, version)
        return None if found is None else file.described(*found)

    async def _version(
        self, file: _File, version: int | None
    ) -> tuple[int, dict[str, Any], float] | None:
        """Returns the number of a version, what is stored of it, and when that was."""
        if version is not None and not isinstance(version, int):
            raise ConfigurationError(
                f"version must be an int or None, not {type(version).__name__}: {version!r:.80}"
            )
        history = self._history(file)
        info = await history.info()
        number = info.count - 1 if version is None else version
        if not 0 <= number < info.count:
            return None
        # Versions are only ever deleted all at once, so their items follow one another.
        after = info.last_seq - info.count + number
        for item in await history.read(after=after, limit=1):
            return number, item.value, item.created_at.timestamp()
        return None

    def _history(self, file: _File) -> AsyncHistory:
        return self._memory.history(file.name)


class _File(NamedTuple):
    """A file of a session, or of a user if there is no session."""

    app: str
    user: str
    session: str | None
    filename: str

    @classmethod
    def of(cls, app: str, user: str, session: str | None, filename: str) -> _File:
        """Returns the file that ADK means.

        Raises:
            InputValidationError: A name is not valid.
        """
        for what, name in (("app_name", app), ("user_id", user), ("session_id", session or "")):
            check_string(name, what)
        check_string(filename, "filename")
        validate_path_segment(app, "app_name")
        validate_path_segment(user, "user_id")
        if filename.startswith(_USER):
            return cls(app, user, None, filename)
        if session is None:
            raise InputValidationError("Session ID must be provided for session-scoped artifacts.")
        validate_path_segment(session, "session_id")
        return cls(app, user, session, filename)

    @property
    def folder(self) -> str:
        """What the names of all files beside it begin with."""
        within = ("user",) if self.session is None else ("session", self.session)
        return f"{_ARTIFACTS}/{join_parts(self.app, self.user, *within)}/"

    @property
    def name(self) -> str:
        return self.folder + join_parts(self.filename)

    def payload(self, version: int) -> str:
        return f"{self.name}/{version}"

    def described(self, version: int, held: dict[str, Any], created: float) -> ArtifactVersion:
        uri = get_artifact_uri(self.app, self.user, self.filename, version, self.session)
        return ArtifactVersion(
            version=version,
            canonical_uri=uri,
            custom_metadata=held["custom_metadata"],
            create_time=created,
            mime_type=held["mime_type"],
        )

    def referred(self, part: types.Part) -> tuple[_File, int]:
        """Returns the file and the version that a reference leads to.

        Raises:
            InputValidationError: It is not valid, or leads to another user or session.
        """
        uri = (part.file_data and part.file_data.file_uri) or ""
        parsed = parse_artifact_uri(uri)
        if parsed is None:
            raise InputValidationError(f"Invalid artifact reference URI: {uri}")
        validate_artifact_reference_scope(
            app_name=self.app, user_id=self.user, session_id=self.session, parsed_uri=parsed
        )
        other = _File.of(parsed.app_name, parsed.user_id, parsed.session_id, parsed.filename)
        return other, parsed.version


def _mime_type(part: types.Part, file: _File) -> str | None:
    if part.inline_data is not None:
        return part.inline_data.mime_type
    if part.text is not None:
        return "text/plain"
    if part.file_data is None:
        raise InputValidationError("Not supported artifact type.")
    if is_artifact_ref(part):
        file.referred(part)  # or it is refused
        return None
    return part.file_data.mime_type
