"""``bench``: what a step and a gradient cost. Nothing is said of how long anything takes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from support.commanded import Listener, request, written
from support.objectives import FLUID, MOLECULE, changed

from diffmd.commands.benchmark.apart import PINS, usable_cores
from diffmd.commands.benchmark.bench import Choice, bench, table
from diffmd.commands.benchmark.liquids import SIZES, is_a_size, liquid, near_size
from diffmd.config.loading import load_data
from diffmd.errors import ConfigError

TIMES = ("forward", "gradient")


def check_row(row: dict) -> None:
    """Everything that a row tells is a number that can be."""
    for what in TIMES:
        assert 0 < row[f"{what}_min_s"] <= row[f"{what}_s"] <= row[f"{what}_max_s"]
        assert row[f"{what}_compile_s"] >= 0
        assert row[f"{what}_buffers_mb"] >= 0
    assert row["ratio"] == row["gradient_s"] / row["forward_s"] > 0
    assert row["steps_per_s"] == row["steps"] / row["forward_s"]
    assert row["ns_per_atom_step"] == pytest.approx(1e9 / row["steps_per_s"] / row["atoms"])
    built = sum(row["list_build_s"].values())
    assert (built > 0) == (row["list_builds"] > 0) == (row["list_share"] > 0)
    assert row["peak_mb"] > 10 > 0 == row["pinned"] - PINS


@pytest.mark.slow
def test_a_config_is_timed_as_it_stands(tmp_path: Path):
    lists = {"kind": "cell_list", "skin": 0.1, "every": 3}
    listed = changed(FLUID, dynamics__neighbors=lists, dynamics__integrator__dt=0.001)
    heard = Listener()
    result = bench(request(written(tmp_path, listed), tmp_path / "run"), heard, Choice(repeats=2))
    (row,) = result.answer["cases"]
    assert (row["case"], row["atoms"], row["steps"], row["repeats"]) == ("small", 12, 12, 2)
    assert (row["precision"], row["threads"]) == ("double", len(usable_cores()))
    # That of the start, and one for every three of the twelve steps: the last frame is measured on the last of them.
    assert row["list_builds"] == 5
    check_row(row)
    assert "cpu" in result.answer["device"] or "gpu" in result.answer["device"]
    assert heard.done == 1
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["answer"]["cases"] == result.answer["cases"]


@pytest.mark.slow
def test_a_liquid_is_timed_as_is_asked_for(tmp_path: Path):
    result = bench(request(None, tmp_path / "run"), Listener(), Choice("50", "single", "1", 1))
    (row,) = result.answer["cases"]
    assert (row["case"], row["atoms"], row["steps"]) == ("lj_fluid", 50, 500)
    assert (row["precision"], row["threads"], row["repeats"]) == ("single", 1, 1)
    assert row["list_builds"] == 0
    check_row(row)
    # A row of the table for it, below its head.
    assert [line.split()[1] for line in result.summary[2:-1]] == ["lj_fluid"]


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        (Choice(sizes="70"), r"--sizes 70: there are 50 atoms, .*4 n\^3 from 108 up; the nearest is 50"),
        (Choice(sizes="50,501"), r"--sizes 501: .*the nearest is 500"),
        (Choice(sizes="0"), "--sizes 0: numbers of atoms, with commas between them"),
        (Choice(sizes="500;4000"), "--sizes 500;4000: numbers of atoms"),
        (Choice(sizes=""), "--sizes : numbers of atoms"),
        (Choice(precision="half"), "--precision half: there are double and single"),
        (Choice(precision="double,"), "--precision double,: there are double and single"),
        (Choice(threads="1.5"), "--threads 1.5: numbers of threads"),
        (Choice(threads="9999"), "--threads 9999: this process may use [0-9]+ of the machine's cores"),
    ],
)
def test_what_cannot_be_chosen_is_told(choice: Choice, sentence: str, tmp_path: Path):
    with pytest.raises(ConfigError, match=sentence):
        bench(request(None, tmp_path / "run"), Listener(), choice)
    assert not (tmp_path / "run").exists()


def test_what_is_of_a_config_and_what_of_the_liquids(tmp_path: Path):
    with pytest.raises(ConfigError, match="--set is of a config"):
        bench(request(None, tmp_path / "run", "dynamics.steps=3"), Listener())
    with pytest.raises(ConfigError, match="--sizes is of the built-in liquids"):
        bench(request(written(tmp_path, MOLECULE), tmp_path / "run"), Listener(), Choice(sizes="50"))


@pytest.mark.parametrize("atoms", [*SIZES, 108, 256])
def test_a_liquid_has_the_atoms_that_its_size_says(atoms: int):
    assert is_a_size(atoms)
    assert near_size(atoms) == atoms
    assert sum(group.count for group in load_data(liquid(atoms)).config.system.atoms) == atoms


@pytest.mark.parametrize(("atoms", "near"), [(1, 50), (79, 50), (80, 108), (107, 108), (3000, 2916), (33_000, 32_000)])
def test_the_nearest_size_is_one(atoms: int, near: int):
    assert not is_a_size(atoms)
    assert near_size(atoms) == near
    assert is_a_size(near)


def test_the_table_is_markdown_with_a_cell_for_each_column():
    row = {"case": "a", "precision": "double", "device": "cpu"}
    numbers = ("atoms", "threads", "steps_per_s", "ns_per_atom_step", "ratio", "list_share", "peak_mb")
    row |= dict.fromkeys(numbers, 1234.5) | {
        f"{what}_{which}": 2.0 for what in TIMES for which in ("s", "min_s", "max_s")
    }
    row |= {f"{what}_{which}": 3.0 for what in TIMES for which in ("compile_s", "buffers_mb")}
    head, rule, *body = table([row, row])
    assert len(body) == 2
    assert len({line.count("|") for line in (head, rule, *body)}) == 1
    assert set(rule) <= set("|-:")
    assert math.isclose(len(head), len(body[0]))
