"""Tests for every adapter, including your own.

Subclass `AdapterTests` in a test module, and pytest collects its tests::

    from botwire.testing import AdapterTests, Seen, Turn

    class TestMyFramework(AdapterTests):
        def open(self, address, user): ...
        async def turn(self, agent, turn): ...

This package is not a pytest plugin and does not import pytest. To see the values in failed
assertions, put this line in ``conftest.py`` before the package is first imported::

    pytest.register_assert_rewrite("botwire.testing")
"""

from botwire.testing.adapters import AdapterTests
from botwire.testing.scene import Address, Seen, Turn

__all__ = ["AdapterTests", "Address", "Seen", "Turn"]
