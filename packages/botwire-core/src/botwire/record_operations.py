"""The former name of `botwire.operations.records`; removed in 1.0."""

from botwire.operations.records import *  # noqa: F403
