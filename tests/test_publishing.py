"""READMEs have one layout, and ``.github`` and ``deploy`` agree with the rest of the repository.

``hatch run deploy:check`` holds them to their schemas.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import botwire
from environments import ROOT
from published import ALIASES, DISTRIBUTIONS, REPOSITORY


def read(path: str | Path) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


def steps(workflow: str) -> list[Any]:
    jobs = read(f".github/workflows/{workflow}")["jobs"].values()
    return [step for job in jobs for step in job.get("steps", ())]


def test_ci_is_what_everybody_can_run() -> None:
    assert {"run": "bash .ci/run"} in steps("ci.yml")


def test_a_release_publishes_with_attestations_and_without_a_token() -> None:
    release = (ROOT / ".github/workflows/release.yml").read_text()
    assert "secrets." not in release
    [step] = [one for one in steps("release.yml") if "pypi-publish" in one.get("uses", "")]
    assert step["with"] == {"attestations": True}
    jobs = read(".github/workflows/release.yml")["jobs"]
    assert jobs["python"]["permissions"]["id-token"] == "write"
    for name, job in jobs.items():
        assert name == "ci" or job["needs"] == "ci"


@pytest.mark.parametrize("workflow", ["ci.yml", "release.yml"])
def test_an_action_is_a_commit_that_cannot_change(workflow: str) -> None:
    for line in (ROOT / ".github/workflows" / workflow).read_text().splitlines():
        if used := re.search(r"uses: (?!\./)(.+)", line):
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", used[1])


def test_a_hook_runs_what_ci_runs() -> None:
    [local] = read(".pre-commit-config.yaml")["repos"]
    assert {"ruff", "mypy", "codespell"} <= {hook["id"] for hook in local["hooks"]}
    for hook in local["hooks"]:
        assert re.fullmatch(r"hatch run [a-z-]+", hook["entry"])


def test_forms_ask_in_the_repository_that_the_packages_name() -> None:
    for form in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        for address in re.findall(r"https://github\.com/[\w-]+/[\w-]+", form.read_text()):
            assert address == REPOSITORY


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_kubernetes_gets_is_complete_and_confined(kind: str) -> None:
    folder = ROOT / "deploy/kubernetes" / kind
    settings = read(folder / "kustomization.yaml")
    assert {file.name for file in folder.glob("*.yaml")} == {
        *settings["resources"],
        "kustomization.yaml",
    }
    assert [one["newTag"] for one in settings["images"]] == [f"v{botwire.__version__}"]
    for name in settings["resources"]:
        pod = read(folder / name)["spec"].get("template", {}).get("spec")
        if pod is None:
            continue
        assert pod["securityContext"]["runAsNonRoot"]
        # Otherwise the service "botwire" sets BOTWIRE_PORT=tcp://….
        assert pod["enableServiceLinks"] is False
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["image"] == "botwire"
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert not container["securityContext"]["allowPrivilegeEscalation"]


def test_the_image_serves_as_its_own_user_and_is_checked() -> None:
    lines = (ROOT / "deploy/Dockerfile").read_text().splitlines()
    assert "USER 8700" in lines
    assert lines.index("USER 8700") < lines.index('ENTRYPOINT ["botwire"]')
    # With the settings of the server, which may have another port and TLS.
    assert any(re.match(r'HEALTHCHECK .*CMD \["botwire", "ready"\]', line) for line in lines)


def test_docker_is_sent_exactly_what_the_image_copies() -> None:
    lines = (ROOT / "deploy/Dockerfile").read_text().splitlines()
    copied = {line.split()[1] for line in lines if re.match(r"COPY (?!--from)", line)}
    assert all((ROOT / path).exists() for path in copied)
    ignored = (ROOT / "deploy/Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == copied


def test_the_pins_of_the_image_are_of_what_it_installs() -> None:
    environments = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["envs"]
    pinned = {
        one if isinstance(one, str) else f"{one['path']}[{','.join(one['features'])}]"
        for one in environments["image"]["workspace"]["members"]
    }
    text = (ROOT / "deploy/Dockerfile").read_text()
    installed = re.findall(r"\./([\w/-]+(?:\[[\w,]+\])?)(?=[\"\s])", text)
    assert sorted(installed) == sorted(pinned)


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/listing/*.md")), ids=lambda page: page.stem)
def test_what_a_listing_shows_is_what_a_readme_shows(page: Path) -> None:
    """The programs of READMEs run in the tests."""
    text = page.read_text()
    [adapter] = set(re.findall(r"tree/main/packages/([\w-]+)", text))
    readme = (ROOT / "packages" / adapter / "README.md").read_text()
    for block in re.findall(r"^```python\n.*?^```", text, re.MULTILINE | re.DOTALL):
        assert block in readme, f"{page.name} shows what {adapter}/README.md does not"
    for command in re.findall(r'^\$ pip install "?([\w-]+)', text, re.MULTILINE):
        assert command in DISTRIBUTIONS


def test_every_list_has_its_text() -> None:
    found = {page.stem for page in ROOT.glob("docs/listing/*.md")}
    assert found >= {"google-adk", "langchain", "llamahub", "pydantic-ai", "strands"}
    assert "mcp-registry" in found


@pytest.mark.parametrize("name", sorted(DISTRIBUTIONS.keys() - ALIASES.keys()))
def test_readmes_say_the_same_things_in_the_same_order(name: str) -> None:
    text = DISTRIBUTIONS[name].file.with_name("README.md").read_text()
    text = re.sub(r"\A<!--.*?-->\n", "", text)
    title, badges, sentence, *_ = text.split("\n\n")
    assert title == f"# {name}"
    assert badges.count(f"https://img.shields.io/pypi/v/{name})") == 1
    assert re.fullmatch(r"[^.]+\.", sentence), "one sentence says what it is"
    example = re.compile(r"^```(?:python|console)\n", re.MULTILINE).search(text)
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert example is not None
    assert example.start() < text.index("## What you get")
    assert headings[0] == "What you get"
    assert headings[-1] == "When not to use it"
    assert "Moving here" not in headings or headings[-2] == "Moving here"
