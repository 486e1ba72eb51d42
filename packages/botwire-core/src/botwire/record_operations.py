"""The former name of `botwire.operations.records`; it goes with 1.0."""

from botwire.operations.records import *  # noqa: F403
