"""OAuth as claude.ai and ChatGPT use it: the SDK's own client against a real server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.server.auth.provider import AuthorizationParams, AuthorizeError, RegistrationError
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)

from botwire import Memory
from botwire.cli import main
from botwire_mcp.oauth.addresses import Addresses
from botwire_mcp.oauth.provider import MOST_NEW, Provider
from conftest import make_key, read_url, running
from tests.waiting import until

REDIRECT = "http://127.0.0.1:1/callback"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"  # the example of RFC 7636
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


@dataclass
class Server:
    """A server with API keys."""

    url: str
    database: str
    keys: dict[str, str]

    def post(self, endpoint: str, **options: Any) -> httpx2.Response:
        return httpx2.post(f"{self.url}/mcp/{endpoint}", **options)

    def register(self, **fields: Any) -> Any:
        metadata = {"redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none", **fields}
        return self.post("register", json=metadata)

    def authorize(self, client_id: str, **fields: str) -> httpx2.Response:
        asked = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": REDIRECT,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "state": "s",
            **fields,
        }
        return httpx2.get(f"{self.url}/mcp/authorize?{urlencode(asked)}")

    def code(self, client_id: str, key: str) -> str:
        page = self.authorize(client_id).headers["Location"]
        return answer_of(consent(page, key))["code"]

    def token(self, client_id: str, **fields: str) -> httpx2.Response:
        return self.post("token", data={"client_id": client_id, **fields})

    def redeem(self, client_id: str, code: str, **fields: str) -> httpx2.Response:
        asked = {"code": code, "redirect_uri": REDIRECT, "code_verifier": VERIFIER, **fields}
        return self.token(client_id, grant_type="authorization_code", **asked)

    def asks_again(self, token: str) -> bool:
        """Returns whether the server refuses a token."""
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        status = self.post("", headers=headers, json={}).status_code
        assert status in (400, 401, 406)
        return status == 401


def consent(page: str, key: str, answer: str = "allow") -> httpx2.Response:
    """Answers on the page as a browser does."""
    text = httpx2.get(page).text
    (request,) = re.findall(r'name="request" value="([^"]*)"', text)
    fields = {"request": unescape(request), "key": key, "answer": answer}
    url = urlsplit(page)
    origin = f"{url.scheme}://{url.netloc}"
    return httpx2.post(page, data=fields, headers={"Origin": origin})


def answer_of(response: httpx2.Response) -> dict[str, str]:
    """Returns what a browser would hand to the client."""
    assert response.status_code == 303, response.text
    url = response.headers["Location"]
    assert url.startswith(REDIRECT)
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def id_of(key: str) -> str:
    return key.split("_")[1]


class Storage:
    """The state that a client keeps between runs."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class User:
    """A user who answers the page with an API key, and counts the pages."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.asked = 0
        self._answer: dict[str, str] = {}

    async def visit(self, url: str) -> None:
        self.asked += 1
        async with httpx2.AsyncClient() as browser:
            page = (await browser.get(url)).headers["Location"]
        self._answer = answer_of(await asyncio.to_thread(consent, page, self.key))

    async def callback(self) -> AuthorizationCodeResult:
        return AuthorizationCodeResult.model_validate(self._answer)


def sign_in(url: str, user: User, storage: Storage, **fields: Any) -> OAuthClientProvider:
    metadata = OAuthClientMetadata.model_validate({"redirect_uris": [REDIRECT], **fields})
    return OAuthClientProvider(f"{url}/mcp", metadata, storage, user.visit, user.callback)


@asynccontextmanager
async def connect(url: str, auth: OAuthClientProvider) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(auth=auth) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def server(keyed: tuple[str, dict[str, str], str]) -> Server:
    url, keys, store = keyed
    return Server(url, store, keys)


@pytest.mark.parametrize("method", ["none", "client_secret_post", "client_secret_basic"])
async def test_a_client_gets_exactly_the_rights_of_the_key(server: Server, method: str) -> None:
    user, storage = User(server.keys["ada"]), Storage()
    auth = sign_in(server.url, user, storage, token_endpoint_auth_method=method)
    async with connect(server.url, auth) as client:
        result = await client.call_tool("set", {"key": method, "value": 1})
        assert not result.is_error, result.content
    with Memory("ada", url=server.url, api_key=server.keys["ada"]) as memory:
        entry = memory.entry(method)
        assert entry is not None
        assert entry.author is not None
        assert entry.author.key == id_of(server.keys["ada"])
    assert storage.tokens is not None
    assert server.keys["ada"] not in storage.tokens.model_dump_json()
    reader = User(server.keys["reader"])
    async with connect(server.url, sign_in(server.url, reader, Storage())) as client:
        assert not (await client.call_tool("get", {"key": method})).is_error
        result = await client.call_tool("set", {"key": method, "value": 2})
        assert result.is_error
        assert "does not have the right to write" in result.content[0].text
    # The token opens nothing but MCP.
    headers = {"Authorization": f"Bearer {storage.tokens.access_token}"}
    answer = httpx2.get(f"{server.url}/v1/namespaces/ada/keys/{method}", headers=headers)
    assert answer.status_code == 401


async def test_tokens_end_with_the_key(server: Server) -> None:
    secret = server.keys["lent"]
    user, storage = User(secret), Storage()
    async with connect(server.url, sign_in(server.url, user, storage)) as client:
        await client.call_tool("list", {})
    assert storage.tokens is not None
    assert storage.client is not None
    access, refresh = storage.tokens.access_token, storage.tokens.refresh_token
    assert not server.asks_again(access)
    revoke = ["keys", "revoke", id_of(secret), "--database", server.database]
    assert await asyncio.to_thread(main, revoke) == 0

    async def is_refused() -> bool:
        return server.asks_again(access)

    await until(is_refused)
    secret_of_client = {"client_secret": storage.client.client_secret or ""}
    answer = server.token(
        storage.client.client_id,
        grant_type="refresh_token",
        refresh_token=refresh or "",
        **secret_of_client,
    )
    assert answer.status_code == 400
    assert "revoked" in answer.json()["error_description"]


async def test_a_client_survives_the_servers_kill(tmp_path: Path) -> None:
    """Each step follows a kill of the server: everything acknowledged survives."""
    file = tmp_path / "memory.db"
    database = f"sqlite:///{file}"
    _, secret = await asyncio.to_thread(make_key, database, namespaces=("ada",))
    user, storage = User(secret), Storage()
    with running(file) as process:
        url = read_url(process)
        server = Server(url, database, {})
        auth = sign_in(url, user, storage)
        async with connect(url, auth) as client:
            await client.call_tool("set", {"key": "a", "value": 1})
            notes = [f"note {number}" for number in range(5)]
            for note in notes:
                await client.call_tool("remember", {"text": note})
            id = server.register().json()["client_id"]
            code = server.code(id, secret)
            process.kill()
            process.wait()
            with running(file, "--port", url.rpartition(":")[2]) as again:
                assert read_url(again) == url
                assert server.redeem(id, code).status_code == 200
                assert storage.tokens is not None
                old = storage.tokens.refresh_token
                async with connect(url, sign_in(url, user, storage)) as restarted:
                    assert not (await restarted.call_tool("get", {"key": "a"})).is_error
                auth.context.token_expiry_time = 1
                answer = await client.call_tool("get", {"key": "a"})
                assert answer.structured_content["value"] == 1
                found = await client.call_tool("recall", {"limit": 9})
                assert sorted(note["text"] for note in found.structured_content["notes"]) == notes
                assert storage.tokens.refresh_token != old
                assert user.asked == 1
                again.terminate()


def test_a_code_is_for_one_client_once_and_needs_its_verifier(server: Server) -> None:
    key = server.keys["ada"]
    mine, other = (server.register().json()["client_id"] for _ in range(2))
    code = server.code(mine, key)
    wrong = (
        (other, {}),
        (mine, {"code_verifier": "x" * 43}),
        (mine, {"redirect_uri": "https://evil.example/"}),
    )
    for client, fields in wrong:
        assert server.redeem(client, code, **fields).status_code == 400
    tokens = server.redeem(mine, code).json()
    assert not server.asks_again(tokens["access_token"])
    assert server.redeem(mine, code).json()["error"] == "invalid_grant"

    def refresh(client: str, token: str) -> httpx2.Response:
        return server.token(client, grant_type="refresh_token", refresh_token=token)

    assert refresh(other, tokens["refresh_token"]).status_code == 400
    new = refresh(mine, tokens["refresh_token"]).json()
    assert new["refresh_token"] != tokens["refresh_token"]
    # A lost answer is requested again.
    assert refresh(mine, tokens["refresh_token"]).status_code == 200
    revoked = {"client_id": mine, "client_secret": "", "token": new["refresh_token"]}
    assert server.post("revoke", data=revoked).status_code == 200
    for token in (tokens["refresh_token"], new["refresh_token"]):
        assert refresh(mine, token).status_code == 400


def test_the_page_says_who_asks_and_takes_only_valid_keys(server: Server) -> None:
    id = server.register(client_name='<script>"&').json()["client_id"]
    page = server.authorize(id).headers["Location"]
    shown = httpx2.get(page)
    assert "&lt;script&gt;&quot;&amp;" in shown.text
    assert "<script" not in shown.text
    assert "http://127.0.0.1:1<" in shown.text  # where the answer goes
    assert "frame-ancestors 'none'" in shown.headers["Content-Security-Policy"]
    for wrong in ("", "bw_unknown", "é" * 100):
        refused = consent(page, wrong)
        assert refused.status_code == 401
        assert "This API key is unknown" in refused.text
    evil = {"Origin": "https://evil.example"}
    assert httpx2.post(page, data={}, headers=evil).status_code == 403
    assert answer_of(consent(page, "", "deny")) == {
        "error": "access_denied",
        "error_description": "the user declined",
        "state": "s",
    }
    assert httpx2.get(page).status_code == 410  # it is answered
    assert httpx2.get(f"{server.url}/mcp/consent").status_code == 410


def test_who_may_register_and_ask(server: Server) -> None:
    for uri in ("http://evil.example/", "javascript:alert(1)", "data:text/html,x"):
        answer = server.register(redirect_uris=[uri])
        assert answer.json()["error"] == "invalid_redirect_uri", uri
    for uri in ("https://claude.ai/api/mcp/auth_callback", "cursor://anysphere.cursor/callback"):
        assert server.register(redirect_uris=[uri]).status_code == 201
    assert server.register(client_name="x" * 10_000).status_code == 400
    assert server.post("register", content=b"x" * 100_000).status_code == 413
    id = server.register().json()["client_id"]
    assert server.authorize("unknown").status_code == 400
    assert server.authorize(id, redirect_uri="https://evil.example/").status_code == 400
    for fields, error in (
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"resource": "https://other.example/mcp"}, "invalid_target"),
        ({"response_type": "token"}, "unsupported_response_type"),
    ):
        assert f"error={error}" in server.authorize(id, **fields).headers["Location"]
    # A scope neither grants nor refuses anything.
    assert "request=" in server.authorize(id, scope="any thing").headers["Location"]


class FullState:
    """Limits what a server stores when flooded by clients without access."""

    async def count(self, prefix: str) -> int:
        assert prefix in ("new-clients/", "requests/")
        return MOST_NEW


class FullHost:
    def state(self, scope: Any) -> FullState:
        return FullState()


async def test_strangers_cannot_fill_the_store() -> None:
    provider = Provider(FullHost(), {}, Addresses("https://memory.example"))  # type: ignore[arg-type]
    client = OAuthClientInformationFull(client_id="c", redirect_uris=[REDIRECT])
    with pytest.raises(RegistrationError, match="too many clients"):
        await provider.register_client(client)
    params = AuthorizationParams(
        state=None,
        scopes=None,
        code_challenge=CHALLENGE,
        redirect_uri=REDIRECT,
        redirect_uri_provided_explicitly=True,
    )
    with pytest.raises(AuthorizeError) as refused:
        await provider.authorize(client, params)
    assert refused.value.error == "temporarily_unavailable"


def test_how_a_client_finds_the_endpoints(server: Server) -> None:
    refused = httpx2.post(f"{server.url}/mcp", json={})
    assert refused.status_code == 401
    assert refused.json()["type"].startswith("urn:botwire:problem:")
    document = f"{server.url}/.well-known/oauth-protected-resource/mcp"
    assert f'resource_metadata="{document}"' in refused.headers["WWW-Authenticate"]
    assert httpx2.get(document).json()["resource"] == f"{server.url}/mcp"
    metadata = httpx2.get(f"{server.url}/.well-known/oauth-authorization-server").json()
    assert metadata["token_endpoint"] == f"{server.url}/mcp/token"
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    assert httpx2.get(f"{server.url}/mcp/token").status_code == 405
    # Where tokens would travel unencrypted, OAuth is not offered.
    headers = {"Host": "memory.example"}
    assert httpx2.get(document, headers=headers).status_code == 404
    refused = httpx2.post(f"{server.url}/mcp", json={}, headers=headers)
    assert "resource_metadata" not in refused.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("scheme", "host", "issuer"),
    [
        ("https", b"memory.example", "https://memory.example"),
        ("https", b"memory.example:8443", "https://memory.example:8443"),
        ("http", b"localhost:8700", "http://localhost:8700"),
        ("http", b"[::1]:8700", "http://[::1]:8700"),
        ("http", b"memory.example", None),
        ("http", b"localhost.evil.example", None),
        ("https", b"a@b", None),
        ("https", b"a/b", None),
        ("https", b'a"', None),
        ("https", b"", None),
    ],
)
def test_the_urls_are_those_that_the_sender_uses(
    scheme: str, host: bytes, issuer: str | None
) -> None:
    found = Addresses.of({"scheme": scheme, "headers": [(b"host", host)]})
    assert (None if found is None else found.issuer) == issuer
