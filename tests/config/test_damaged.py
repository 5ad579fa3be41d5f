"""Damaged configs: refused with a sentence or taken, never a traceback, never a hang."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from damageable import CONFIGS, EXAMPLES

from diffmd.config.loading import load, load_data
from diffmd.config.paths import leaves, put
from diffmd.config.writing import write_text
from diffmd.config.yaml_reader import read_file
from diffmd.errors import ConfigError

CASES = 300
BAD = [
    "-1",
    "nan",
    ".nan",
    ".inf",
    "1e400",
    "[]",
    "{}",
    "null",
    "true",
    "''",
    "9" * 30,
    "0x",
    "*a",
    "&a",
    "!!int",
    "\t",
]
VALUES: list[Any] = [
    -1, 0, 1, 1e-300, 1e300, float("nan"), float("inf"), 10**30, "", "x", "A", True, None, [], {}, [[]], [1, 2, 3],
    [[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.0, 0.5, 1.0]], {"kind": "none"}, {"kind": []}, {"a": {"b": 1}}, "é" * 200,
    [[0, 1]], [None], "potentials.lj.sigma", "110 deg",
]  # fmt: skip


def _damaged_text(rng: random.Random, text: str) -> str:
    lines = text.splitlines()
    for _ in range(rng.randint(1, 3)):
        i = rng.randrange(len(lines))
        line = lines[i]
        lines[i] = rng.choice(
            [
                line[: len(line) // 2],
                line.replace(":", "", 1),
                "  " + line,
                line.lstrip(),
                line.replace("[", "{", 1),
                line.replace("kind: ", "kind: x", 1),
                line.replace("0", rng.choice(BAD), 1),
                line.replace(": ", f": {rng.choice(BAD)}", 1),
                line + "\n" + line,
                "- " + line,
                line[::-1],
                "",
            ]
        )
    return "\n".join(lines)


def _refused_or_taken(path: Path) -> bool:
    start, said = time.perf_counter(), ""
    try:
        load(path)
    except ConfigError as problem:
        said = str(problem)
        taken = False
    else:
        taken = True
    assert time.perf_counter() - start < 10
    assert taken or path.name in said
    return taken


def test_damaged_text(tmp_path: Path) -> None:
    rng = random.Random(1)
    texts = [(CONFIGS / f"{name}.yaml").read_text() for name in EXAMPLES]
    path = tmp_path / "c.yaml"
    taken = 0
    for _ in range(CASES):
        path.write_text(_damaged_text(rng, rng.choice(texts)))
        taken += _refused_or_taken(path)
    assert 0 < taken < CASES


def _places(data: Any) -> list[str]:
    found: set[str] = set()
    for path, _ in leaves(data):
        keys = path.split(".")
        found |= {".".join(keys[:depth]) for depth in range(1, len(keys) + 1)}
    return sorted(found)


@pytest.mark.parametrize("name", EXAMPLES)
def test_wrong_values_in_right_places(tmp_path: Path, name: str) -> None:
    rng = random.Random(name)
    data = load(CONFIGS / f"{name}.yaml").data
    places = _places(data)
    path = tmp_path / "c.yaml"
    taken = []
    for _ in range(CASES // len(EXAMPLES)):
        changed = data
        for _ in range(rng.randint(1, 2)):
            try:
                changed = put(changed, rng.choice(places), rng.choice(VALUES))
            except ConfigError:
                continue
        path.write_text(write_text(changed))
        taken.append(_refused_or_taken(path))
    assert not all(taken)


def _short(data: Any) -> Iterator[Any]:
    yield from (None, 1, "x", [], {}, {"system": 3}, {"system": {}}, {"systems": {"a": None}}, {"potentials": [1]})
    yield from ({key: value} for key in data for value in (None, [], {}, "x", 1.5))


def test_fragments() -> None:
    for data in _short(read_file(CONFIGS / "lj_fluid.yaml").data):
        with pytest.raises(ConfigError):
            load_data(data)
