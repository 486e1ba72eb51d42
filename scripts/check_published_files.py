"""Checks the files that other services read against their schemas, which the tools bring along.

These are the workflows, forms and settings of ``.github``, the compose file, and the files for
Kubernetes. The last are checked strictly, so a misspelled field is refused.
"""

from __future__ import annotations

import subprocess
import sys

from environments import ROOT

SCHEMAS = {
    "vendor.github-workflows": ".github/workflows/*.yml",
    "vendor.dependabot": ".github/dependabot.yml",
    "vendor.github-issue-config": ".github/ISSUE_TEMPLATE/config.yml",
    "vendor.github-issue-forms": ".github/ISSUE_TEMPLATE/[!c]*.yml",
    "vendor.compose-spec": "deploy/compose.yaml",
}
"""The files for each schema of check-jsonschema."""


def main() -> int:
    """Checks all files; returns the exit code."""
    code = 0
    for schema, pattern in SCHEMAS.items():
        files = [str(file) for file in ROOT.glob(pattern)]
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *files]
        code |= subprocess.run(command, cwd=ROOT, check=False).returncode
    # kustomization.yaml is no resource of a cluster.
    resources = [
        str(file)
        for file in sorted(ROOT.glob("deploy/kubernetes/*/*.yaml"))
        if file.name != "kustomization.yaml"
    ]
    command = [sys.executable, "-m", "kubernetes_validate", "--strict", *resources]
    code |= subprocess.run(command, cwd=ROOT, check=False).returncode
    return code


if __name__ == "__main__":
    sys.exit(main())
