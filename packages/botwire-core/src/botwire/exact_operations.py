"""The former name of `botwire.operations.transfer`; removed in 1.0."""

from botwire.operations.transfer import *  # noqa: F403
