"""Names that an extra brings: imported when first used, or an error that says what to install."""

from __future__ import annotations

import pytest

from botwire import ConfigurationError
from botwire.extras import from_extras

HOMES = {"dumps": ("json", "json"), "Model": ("no_such_module.at_all", "models")}


def test_a_name_is_imported_or_the_error_says_what_to_install() -> None:
    import json

    get = from_extras("botwire_example", HOMES)
    assert get("dumps") is json.dumps
    install = r'Model needs no_such_module.*: pip install "botwire-example\[models\]"'
    with pytest.raises(ConfigurationError, match=install):
        get("Model")
    with pytest.raises(AttributeError, match="module 'botwire_example' has no attribute 'other'"):
        get("other")
