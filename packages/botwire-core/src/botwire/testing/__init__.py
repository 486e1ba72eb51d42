"""Tests that every adapter passes, for adapters of your own too.

Subclass `AdapterTests` in a test module, and pytest collects what it promises::

    from botwire.testing import AdapterTests, Seen, Turn

    class TestMyFramework(AdapterTests):
        def open(self, place, user): ...
        async def turn(self, agent, turn): ...

This package does not import pytest. It is not a plugin, so pytest shows the values of its failed
assertions only after this line in ``conftest.py``, before the first import of it::

    pytest.register_assert_rewrite("botwire.testing")
"""

from botwire.testing.adapters import AdapterTests
from botwire.testing.scene import Place, Seen, Turn

__all__ = ["AdapterTests", "Place", "Seen", "Turn"]
