"""The former name of `botwire.operations.transfer`; it goes with 1.0."""

from botwire.operations.transfer import *  # noqa: F403
