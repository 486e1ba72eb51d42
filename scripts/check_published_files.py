"""Checks the files that other services read, offline: the tools bring schemas and rules along.

The workflows, forms and settings of ``.github``, the compose file and the files for Kubernetes must
fit their schemas; those of Kubernetes are checked strictly, so a misspelled field is refused.
zizmor finds what makes workflows insecure, such as an action that is not pinned, and hadolint what
is wrong with the Dockerfile.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from environments import ROOT

SCHEMAS = {
    "vendor.github-workflows": ".github/workflows/*.yml",
    "vendor.dependabot": ".github/dependabot.yml",
    "vendor.github-issue-config": ".github/ISSUE_TEMPLATE/config.yml",
    "vendor.github-issue-forms": ".github/ISSUE_TEMPLATE/[!c]*.yml",
    "vendor.compose-spec": "deploy/compose.yaml",
}
"""The files for each schema of check-jsonschema."""


def commands() -> list[list[str]]:
    """Returns the checks, each as a command."""
    python = [sys.executable, "-m"]
    checks = [
        [*python, "check_jsonschema", "--builtin-schema", schema, *map(str, ROOT.glob(pattern))]
        for schema, pattern in SCHEMAS.items()
    ]
    # kustomization.yaml is no resource of a cluster.
    resources = [
        str(file)
        for file in sorted(ROOT.glob("deploy/kubernetes/*/*.yaml"))
        if file.name != "kustomization.yaml"
    ]
    return [
        *checks,
        [*python, "kubernetes_validate", "--strict", *resources],
        [tool("zizmor"), "--offline", "--quiet", "--min-severity", "medium", ".github"],
        [tool("hadolint"), "deploy/Dockerfile"],
    ]


def tool(name: str) -> str:
    """Returns the path of a program of this environment, which need not be on PATH.

    Raises:
        FileNotFoundError: It is missing.
    """
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        raise FileNotFoundError(f"{name} is missing: use hatch run deploy:check")
    return found


def main() -> int:
    """Checks all files; returns the exit code."""
    failed = [one for one in commands() if subprocess.run(one, cwd=ROOT, check=False).returncode]
    for command in failed:
        print(f"failed: {' '.join(command)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
