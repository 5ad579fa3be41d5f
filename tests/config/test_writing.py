"""Resolved configs as text: readable, runnable, equal number for number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from damageable import CONFIGS, EXAMPLES, MINIMAL
from hypothesis import given, settings
from hypothesis import strategies as st

from diffmd.config.files import input_files
from diffmd.config.loading import load, load_data
from diffmd.config.writing import WIDTH, with_files, write_text
from diffmd.config.yaml_reader import read_text

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]))
)
KEYS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Co", "Zl", "Zp", "Cf", "Zs"]), min_size=1
).filter(lambda key: key != "<<")
DATA = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=20
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, DATA, min_size=1, max_size=4))
def test_any_plain_data_is_read_back(data: dict[str, Any]) -> None:
    assert read_text(write_text(data), "f").data == data


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_survive(name: str) -> None:
    loaded = load(CONFIGS / f"{name}.yaml")
    text = write_text(loaded.data)
    again = load_data(read_text(text, "f").data, folder=loaded.folder)
    assert again.config == loaded.config
    assert again.data == loaded.data
    assert max(map(len, text.splitlines())) <= WIDTH + 10


def test_numbers_keep_every_bit_and_words_stay_words() -> None:
    data = {
        "a": [1e-05, 0.1 + 0.2, 1e22, 5e-324, -0.0, 3.0],
        "b": ["NO", "1e-3", "12:30", "null", "true", "~", "010", " x"],
    }
    text = write_text(data)
    assert read_text(text, "f").data == data
    assert yaml.safe_load(text)["b"] == data["b"]


def test_input_files_are_found_and_moved(tmp_path: Path) -> None:
    structure = tmp_path / "a.xyz"
    structure.write_text("1\n\nA 0 0 0\n")
    config = tmp_path / "c.yaml"
    config.write_text(MINIMAL.replace("{kind: random, min_distance: 0.5}", "{kind: file, path: a.xyz}"))
    (tmp_path / "mine.py").write_text("")
    loaded = load(config, [f"potentials.mine={{kind: python, function: {tmp_path}/mine.py:energy}}"])
    files = dict(input_files(loaded.data, loaded.folder))
    assert files["system.positions.path"] == structure
    assert files["potentials.mine.function"].name == "mine.py"
    moved = with_files(loaded.data, {path: f"inputs/{file.name}" for path, file in files.items()})
    assert moved["system"]["positions"]["path"] == "inputs/a.xyz"
    assert moved["potentials"]["mine"]["function"] == "inputs/mine.py:energy"
