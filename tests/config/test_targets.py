"""Targets of a loss: structures in boxes of their own."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from diffmd.config.build import build
from diffmd.config.loading import load_data
from diffmd.errors import ConfigError

PAIR: dict[str, Any] = {
    "system": {
        "box": [4.0, 4.0, 4.0],
        "atoms": [{"type": "A", "count": 3, "mass": 1.0}],
        "positions": {"kind": "inline", "values": [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]},
    },
    "potentials": {"bond": {"kind": "harmonic_bond", "bonds": [[0, 1]], "r0": 1.0, "k": 1.0}},
    "dynamics": {"integrator": {"kind": "velocity_verlet", "dt": 0.01}, "steps": 4},
}
ATOMS = "A 0.25 0 0\nA 1.75 0 0\nA 1.75 0.5 0\n"
DISTANCE = {"kind": "distance", "pairs": [[0, 1]]}


def config(observable: dict[str, Any], target: Any, box: Any = (4.0, 4.0, 4.0), **term: Any) -> dict[str, Any]:
    data = copy.deepcopy(PAIR)
    data["system"]["box"] = None if box is None else list(box)
    data["loss"] = [{"observable": observable, "target": target} | term]
    return data


TENSOR = {"kind": "gyration_tensor"}
RDF = {"kind": "rdf", "range": 1.5, "bins": 5}


@pytest.mark.parametrize(
    ("observable", "target", "term", "said"),
    [
        (TENSOR, [1.0, 2.0], {}, "the target has shape (2,), the observable (3, 3)"),
        (TENSOR, [[1.0, 2.0]] * 2, {"frames": "all", "reduce": "none"}, "shape (2, 2), the observable (3, 3)"),
        (TENSOR, [[1.0] * 3] * 2, {"frames": "all", "reduce": "correlation"}, "(2, 3), the observable (2, 3, 3)"),
        (
            {"kind": "potential_energy", "potential": "bond"},
            [1.0],
            {"frames": "all", "reduce": "none"},
            "the observable ()",
        ),
        ({"kind": "frequencies"}, [1.0], {}, "the observable (6,)"),
        ({"kind": "pressure"}, {"kind": "file", "path": "g.csv"}, {}, "this observable is no curve"),
        ({"kind": "temperature"}, {"kind": "file", "path": "g.csv"}, {}, "this observable is no curve"),
        (RDF, [1.0, 1.0], {}, "the target has shape (2,), the observable (5,)"),
        (RDF, {"kind": "file", "path": "g.csv"}, {}, "the curve covers 1 to 2, the observable's grid 0.15 to 1.35"),
        ({"kind": "msd", "lags": 3}, [0.0, 1.0], {"frames": "all"}, "the target has shape (2,), the observable (3,)"),
        ({"kind": "binder_cumulant", "observable": TENSOR}, [0.6], {"frames": "all"}, "the observable ()"),
    ],
)
def test_a_target_of_another_shape_is_refused(
    tmp_path: Path, observable: Any, target: Any, term: Any, said: str
) -> None:
    (tmp_path / "g.csv").write_text("x,y\n1,1\n2,1\n")
    with pytest.raises(ConfigError) as refused:
        load_data(config(observable, target, **term), folder=tmp_path)
    (line,) = str(refused.value).splitlines()
    assert " loss.0.target: " in line
    assert said in line


@pytest.mark.parametrize(
    ("observable", "target", "term"),
    [
        (TENSOR, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], {"frames": "all", "reduce": "none"}),
        (TENSOR, 1.0, {}),
        (TENSOR, [[[1.0] * 3] * 3] * 2, {"frames": "all", "reduce": "correlation"}),
        (RDF, [1.0] * 5, {}),
        ({"kind": "vacf", "lags": 3}, [3.0, 2.0, 1.0], {"frames": "all"}),
        ({"kind": "python", "function": "math:sqrt"}, [1.0, 2.0], {}),
        ({"kind": "potential_energy"}, [1.0, 0.5], {"frames": "all", "reduce": "correlation", "lags": 2}),
    ],
)
def test_a_target_of_the_shape_is_taken(observable: Any, target: Any, term: Any) -> None:
    assert load_data(config(observable, target, **term)).config.loss[0].target == target


def structure(folder: Path, lattice: str) -> dict[str, str]:
    (folder / "s.extxyz").write_text(f"3\n{lattice} Properties=species:S:1:pos:R:3\n{ATOMS}")
    return {"kind": "structure", "path": "s.extxyz"}


ANGLE = {"kind": "angle", "triples": [[0, 1, 2]]}
DIHEDRAL = {"kind": "dihedral", "quadruples": [[0, 1, 2, 0]]}


def test_angles_may_be_written_in_degrees() -> None:
    for written, read in (("110 deg", np.radians(110)), ("1.9 rad", 1.9), (1.9, 1.9), (["90 deg", 1], [np.pi / 2, 1])):
        several = {"triples": [[0, 1, 2], [1, 2, 0]], "each": True} if isinstance(written, list) else {}
        loaded = load_data(config(ANGLE | several, written))
        assert loaded.config.loss[0].target == pytest.approx(read, rel=1e-15)
        assert load_data(loaded.data).data == loaded.data


@pytest.mark.parametrize(
    ("observable", "target", "term", "said"),
    [
        (ANGLE, 110.0, {}, "angles are radians; did you mean 110 deg?"),
        (ANGLE, [1.0, 110], {"reduce": "max"}, "angles are radians; did you mean 110 deg?"),
        (ANGLE, "110 grad", {}, "write"),
        (ANGLE, "3 deg", {"reduce": "variance", "frames": "all"}, "write"),
        (ANGLE | {"output": "cosine"}, "110 deg", {}, "write"),
        (DISTANCE, "110 deg", {}, "write"),
        ({"kind": "angle"}, "110 deg", {}, "observable.triples: is missing"),
    ],
)
def test_what_is_no_angle_is_refused(observable: Any, target: Any, term: Any, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_data(config(observable, target, **term))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("lattice", "box", "expected"),
    [
        ('Lattice="2 0 0 0 2 0 0 0 2"', [4.0, 4.0, 4.0], 0.5),
        ('Lattice="2 0 0 0.5 2 0 0 0 2"', [4.0, 4.0, 4.0], 0.5),
        ('Lattice="4 0 0 0 4 0 0 0 4"', [2.0, 2.0, 2.0], 1.5),
        ('pbc="F F F"', [2.0, 2.0, 2.0], 0.5),
        ('Lattice="2 0 0 0 2 0 0 0 2"', None, 0.5),
    ],
)
def test_a_structure_is_measured_in_its_own_box(tmp_path: Path, lattice: str, box: Any, expected: float) -> None:
    """Where it and the system have one; else in the system's; what is bonded is whole in any case."""
    loaded = load_data(config(DISTANCE, structure(tmp_path, lattice), box), folder=tmp_path)
    with jax.enable_x64(True):
        (term,) = build(loaded).systems[0].problem.terms
    assert float(np.asarray(term.target)) == pytest.approx(expected, rel=1e-12)


def test_what_does_not_fit_the_box_of_a_structure_is_refused(tmp_path: Path) -> None:
    target = structure(tmp_path, 'Lattice="2 0 0 0 2 0 0 0 2"')
    loaded = load_data(config({"kind": "rdf", "range": 1.5, "bins": 5}, target), folder=tmp_path)
    with jax.enable_x64(True), pytest.raises(ConfigError, match="half the smallest width of the box, 1") as refused:
        build(loaded)
    assert refused.value.path == "loss.0.target.path"
    assert refused.value.message.startswith("in the box of this structure, the range ends at 1.5")
