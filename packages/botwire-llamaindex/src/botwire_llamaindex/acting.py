"""Which run of a workflow is writing."""

from __future__ import annotations

from workflows.plugins.basic import get_current_run_id

from botwire.connection import Acting


def acting() -> Acting:
    """Returns the id of the run whose step is executing; an agent is such a workflow."""
    return Acting(run=get_current_run_id())
