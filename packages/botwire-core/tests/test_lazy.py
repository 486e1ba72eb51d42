"""Names that are imported when first used, or an error that says what to install."""

from __future__ import annotations

import pytest

from botwire import ConfigurationError
from botwire.lazy import lazy_names

HOMES = {
    "dumps": ("json", None),
    "Model": ("no_such_module.at_all", "models"),
    "broken": ("no_such_module.at_all", None),
}


def test_a_name_is_imported_or_the_error_says_what_to_install() -> None:
    import json

    get = lazy_names("botwire_example", HOMES)
    assert get("dumps") is json.dumps
    install = r'Model needs no_such_module.*: pip install "botwire-example\[models\]"'
    with pytest.raises(ConfigurationError, match=install):
        get("Model")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        get("broken")
    with pytest.raises(AttributeError, match="module 'botwire_example' has no attribute 'other'"):
        get("other")
