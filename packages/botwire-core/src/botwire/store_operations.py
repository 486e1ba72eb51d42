"""The former name of `botwire.operations.store`; it goes with 1.0."""

from botwire.operations.store import *  # noqa: F403
