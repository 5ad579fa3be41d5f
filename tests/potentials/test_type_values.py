"""Keys of mappings by type, where type names may hold hyphens themselves."""

import pytest

from diffmd.errors import ConfigError
from diffmd.potentials.values import pair_value, resolve_types


def test_order_does_not_matter():
    assert resolve_types("O-H", ["H", "O"], 2, "") == resolve_types("H-O", ["H", "O"], 2, "") == (0, 1)
    assert resolve_types("H-O-C", ["C", "H", "O"], 3, "") == (0, 2, 1)


def test_names_with_hyphens():
    names = ["C", "C-alpha"]
    assert resolve_types("C-alpha-C", names, 2, "") == (0, 1)
    assert resolve_types("C-alpha-C-alpha", names, 2, "") == (1, 1)
    # A key that is a type's own name is that type, though it might be a pair, too.
    value, _ = pair_value("sigma", {"A": 1.0, "B": 2.0, "A-B": 3.0}, ["A", "B", "A-B"], "p")
    assert value.given == ()


def test_a_key_with_two_readings_is_refused():
    with pytest.raises(ConfigError, match="more than one way"):
        resolve_types("A-B-C", ["A", "B-C", "A-B", "C"], 2, "p")
