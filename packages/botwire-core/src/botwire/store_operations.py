"""The former name of `botwire.operations.store`; removed in 1.0."""

from botwire.operations.store import *  # noqa: F403
