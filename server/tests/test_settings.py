"""Settings come from flags, the environment, a file and defaults, in this order."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import pytest

from botwire import ConfigurationError
from botwire.cli import main
from botwire_server.settings import LoadedSettings, Settings, add_options, load


def parse(*arguments: str, **environ: str) -> LoadedSettings:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return load(parser.parse_args(arguments), environ)


def test_the_first_that_says_something_wins(tmp_path: Path) -> None:
    file = tmp_path / "botwire.toml"
    file.write_text(
        'max_body = 1111\nport = 1111\nworkers = 3\nallow_anonymous = true\n'
        'trust_proxy = ["10.0.0.1", "10.1.0.0/16"]\n'
    )  # fmt: skip
    settings, sources = parse(
        "--port", "3333", "--no-allow-anonymous",
        BOTWIRE_CONFIG=str(file), BOTWIRE_PORT="2222", BOTWIRE_MAX_BODY="2222",
        BOTWIRE_CORS_ORIGINS="https://a.test, https://b.test", BOTWIRE_DRAIN="0.5",
    )  # fmt: skip
    assert (settings.port, settings.max_body, settings.workers) == (3333, 2222, 3)
    assert settings.allow_anonymous is False
    assert settings.trust_proxy == ("10.0.0.1", "10.1.0.0/16")
    assert settings.cors_origins == ("https://a.test", "https://b.test")
    assert settings.drain == 0.5
    assert settings.host == Settings().host
    assert sources["port"] == "--port"
    assert sources["max_body"] == "BOTWIRE_MAX_BODY"
    assert sources["workers"] == str(file)
    assert "host" not in sources


def test_the_store_of_the_environment_is_served_if_it_is_a_database() -> None:
    for url in ("sqlite:///x.db", "postgresql://host/db", "Postgres://host/db"):
        settings, sources = parse(BOTWIRE_URL=url)
        assert (settings.database, sources["database"]) == (url, "BOTWIRE_URL")
    settings, sources = parse(BOTWIRE_URL="http://127.0.0.1:8700")  # of the server itself, say
    assert settings.database is None
    assert "database" not in sources
    settings, sources = parse(BOTWIRE_URL="sqlite:///x.db", BOTWIRE_DATABASE="sqlite:///y.db")
    assert (settings.database, sources["database"]) == ("sqlite:///y.db", "BOTWIRE_DATABASE")


def test_a_key_is_created_in_the_store_of_the_environment_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("BOTWIRE_DATABASE", raising=False)
    monkeypatch.setenv("BOTWIRE_URL", f"sqlite:///{tmp_path / 'memory.db'}")
    assert main(["keys", "create"]) == 0
    assert (tmp_path / "memory.db").exists()
    said = capsys.readouterr().err
    assert f"of sqlite:///{tmp_path / 'memory.db'} has the right write in *" in said


@pytest.mark.parametrize(
    ("arguments", "environ", "says"),
    [
        (["--port", "x"], {}, "--port must be a whole number, not 'x'"),
        (["--port", "65536"], {}, "port must be at most 65535"),
        (["--workers", "0"], {}, "workers must be at least 1"),
        (["--tls-cert", "c.pem"], {}, "both"),
        ([], {"BOTWIRE_FREE_TIER": "maybe"}, "FREE_TIER must be true or false, not 'maybe'"),
        (["--config", "no.toml"], {}, "no.toml cannot be read"),
        (["--config", ""], {}, "the name of the configuration file is empty"),
        ([], {"BOTWIRE_CONFIG": ""}, "the name of the configuration file is empty"),
        (["--trust-proxy", "proxy.test"], {}, "trust_proxy"),
        (["--trust-proxy", "10.0.0.0/99"], {}, "trust_proxy"),
        (["--cors-origins", "a.test"], {}, "cors_origins"),
        (["--cors-origins", "https://a.test/path"], {}, "cors_origins"),
        ([], {"BOTWIRE_CORS_ORIGINS": "https://a.test,ftp://"}, "cors_origins"),
        (["--trust-proxy", ","], {}, "--trust-proxy must be a list of strings, none of them empty"),
        (["--cors-origins", "https://a.test,,https://b.test"], {}, "--cors-origins must be a list"),
        ([], {"BOTWIRE_CORS_ORIGINS": "https://a.test,"}, "BOTWIRE_CORS_ORIGINS must be a list"),
        (["--max-body", "1z"], {}, "--max-body must be a whole number, not '1z'"),
        (["--host", "a b"], {}, "host: 'a b' is not an address or a name"),
        *(
            (["--host", value], {}, "host: .* is not an address or a name")
            for value in ("", "http://0.0.0.0", "0.0.0.0:8700", "[::1]", "[::]:8080")
        ),
        ([], {"BOTWIRE_MAXBODY": "2048"}, "BOTWIRE_MAXBODY is not a setting: .* BOTWIRE_MAX_BODY"),
        ([], {"BOTWIRE_NAMESPACE_WRITE": "5"}, "did you mean BOTWIRE_NAMESPACE_WRITES"),
        ([], {"BOTWIRE_CONFG": "x"}, "did you mean BOTWIRE_CONFIG"),
        (["--database", ""], {}, "database: the URL is empty"),
        ([], {"BOTWIRE_DATABASE": " "}, "database: the URL is empty"),
        *((["--drain", value], {}, "drain") for value in ("-1", "nan", "1e400", "1e9", "soon")),
        *((["--grace", value], {}, "grace") for value in ("-1", "nan", "inf", "1e9", "soon")),
    ],
)
def test_what_is_refused(arguments: list[str], environ: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        parse(*arguments, **environ)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prot = 1", "unknown setting 'prot'; known are host, port"),
        ("port = true", "port must be a whole number, not True"),
        ("cors_origins = [1]", "a list of strings"),
        ("cors_origins = ['']", "a list of strings, none of them empty, not"),
        ("port = ", "is not TOML"),
    ],
)
def test_what_a_file_may_not_say(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "botwire.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=says):
        parse("--config", str(file))


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "botwire.toml"
    file.write_bytes(b"\xef\xbb\xbfport = 1111\n")
    assert parse("--config", str(file)).settings.port == 1111


def test_variables_of_others_are_left_alone() -> None:
    """Those of clients, and those that Kubernetes sets for a service called "botwire"."""
    assert parse(
        BOTWIRE_NAMESPACE="ada", BOTWIRE_API_KEY="bw_1", BOTWIRE_PORT="tcp://10.0.0.7:8700",
        BOTWIRE_SERVICE_HOST="10.0.0.7", BOTWIRE_SERVICE_PORT="8700",
        BOTWIRE_PORT_8700_TCP_PORT="8700", BOTWIRE_PORT_8700_TCP="tcp://10.0.0.7:8700",
    ).settings == Settings()  # fmt: skip


@pytest.mark.parametrize("host", ["::", "::1", "fe80::1%eth0", "0.0.0.0", "localhost", "db-1.test"])
def test_addresses_and_names_may_be_listened_on(host: str) -> None:
    assert parse("--host", host).settings.host == host


def test_an_empty_variable_is_an_empty_list() -> None:
    assert parse(BOTWIRE_TRUST_PROXY="", BOTWIRE_CORS_ORIGINS=" ").settings == Settings()


def test_the_free_tier_gives_way_to_limits_that_are_set() -> None:
    assert Settings().writes_a_day is None
    free = Settings(free_tier=True)
    assert (free.writes_a_day, free.bytes_stored) == (1000, 50 * 1024 * 1024)
    assert Settings(free_tier=True, namespace_writes=7).writes_a_day == 7


def test_config_shows_every_setting_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BOTWIRE_DATABASE", "postgresql://me:hush@db.test/botwire")
    assert main(["config", "--port", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [f.name for f in dataclasses.fields(Settings)]
    assert main(["config", "--json"]) == 0
    text = capsys.readouterr().out
    assert json.loads(text)["database"] == {
        "value": "postgresql://me@db.test/botwire",
        "from": "BOTWIRE_DATABASE",
    }
    assert "hush" not in "".join(lines) + text


def test_no_password_is_shown() -> None:
    shown = repr(Settings(database="postgresql://ada:s3cret@db.test/memory", port=1))
    assert "'postgresql://ada@db.test/memory'" in shown
    assert "port=1" in shown
    assert "s3cret" not in shown
