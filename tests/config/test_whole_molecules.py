"""Molecules that a file's box tore apart: whole at the start where bonds tell, refused where nothing does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmd.box import Box
from diffmd.config.build import BuiltSystem, build
from diffmd.config.loading import load_data
from diffmd.dynamics.frame import Frame
from diffmd.errors import ConfigError
from diffmd.io.h5md import STANDARD, Frames, Topology, TrajectoryWriter
from diffmd.units import REDUCED

EDGE, SIZE = 6.0, 8
BOND = {"kind": "harmonic_bond", "bonds": {"chain": [0, SIZE - 1]}, "r0": 0.7, "k": 50.0}
LJ = {"kind": "lennard_jones", "sigma": 0.3, "epsilon": 0.1}
REFERENCE = {"kind": "file", "path": "start.xyz"}
FILE = {"kind": "file", "path": "start.xyz"}


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def chain() -> np.ndarray:
    """A zigzag that leaves the box through a face."""
    k = np.arange(SIZE)
    return np.stack([4.3 + 0.6 * k, 0.1 + 0.3 * (k % 2), 5.9 + 0.05 * k], axis=1)


def xyz(x: np.ndarray, edge: float | None = EDGE) -> str:
    lattice = "" if edge is None else f'Lattice="{edge} 0 0 0 {edge} 0 0 0 {edge}" '
    rows = "".join(f"A {' '.join(map(repr, row))}\n" for row in x.tolist())
    return f"{len(x)}\n{lattice}Properties=species:S:1:pos:R:3\n{rows}"


def system(folder: Path, observables: dict[str, Any], bonded: bool = True, **fields: Any) -> BuiltSystem:
    fields = {"positions": FILE, "masses": {"A": 1.0}, **fields}
    data = {
        "units": "reduced",
        "system": {key: value for key, value in fields.items() if value is not None or key == "box"},
        "potentials": {"bond": BOND} if bonded else {"lj": LJ},
        "dynamics": {"integrator": {"kind": "velocity_verlet", "dt": 0.01}, "steps": 3},
        "output": {"observables": observables},
    }
    (one,) = build(load_data(data, folder=folder)).systems
    return one


def measured(one: BuiltSystem, name: str = "a") -> np.ndarray:
    """An observable at the start."""
    x = one.values["system.positions"]
    edges = one.values.get("system.box", jnp.ones(3))
    shape = one.problem.box_shape

    def unknown() -> Any:
        raise AssertionError("positions alone are looked at")

    frame = Frame(
        positions=x,
        velocities=jnp.zeros_like(x),
        masses=jnp.ones(len(x)),
        box=Box(jnp.diag(edges), shape),
        time=jnp.zeros(()),
        potential_energy=unknown,
        potential_energies=unknown,
        virial=unknown,
        hessian=unknown,
        degrees_of_freedom=3,
    )
    return np.asarray(one.recorded[name].measure(frame))


OBSERVABLES: dict[str, dict[str, Any]] = {
    "radius_of_gyration": {},
    "gyration_tensor": {},
    "asphericity": {},
    "shape_anisotropy": {},
    "end_to_end": {},
    "rmsd": {"reference": {"kind": "inline", "values": (0.9 * chain()).tolist()}},
    "straightness": {"centers": [[0, 1, 2], [3, 4, 5], [6, 7]]},
}


@pytest.mark.parametrize("kind", OBSERVABLES)
def test_observables_of_molecules_are_those_of_the_whole_ones(tmp_path, kind):
    section = {"kind": kind, **OBSERVABLES[kind]}
    (tmp_path / "start.xyz").write_text(xyz(chain() % EDGE))
    torn = measured(system(tmp_path, {"a": section}))
    (tmp_path / "start.xyz").write_text(xyz(chain()))
    np.testing.assert_allclose(torn, measured(system(tmp_path, {"a": section})), rtol=1e-10, atol=1e-10)


def test_the_radius_of_gyration_is_that_of_the_molecule(tmp_path):
    (tmp_path / "start.xyz").write_text(xyz(chain() % EDGE))
    x = chain()
    expected = np.sqrt(np.mean(np.sum((x - x.mean(axis=0)) ** 2, axis=1)))
    assert measured(system(tmp_path, {"a": {"kind": "radius_of_gyration"}})) == pytest.approx(expected, rel=1e-12)
    # As positions stand in the file it would be another one; whoever asks for that, before bonds are known, gets it.
    as_it_is = system(tmp_path, {"a": {"kind": "radius_of_gyration", "unwrap": False}}, bonded=False)
    assert measured(as_it_is) > 1.3 * expected


def test_a_torn_reference_is_whole_too(tmp_path):
    (tmp_path / "start.xyz").write_text(xyz(chain() % EDGE))
    section = {"kind": "rmsd", "reference": REFERENCE}
    inline = {"kind": "inline", "values": chain().tolist()}
    assert measured(
        system(
            tmp_path,
            {"a": section},
            positions=inline,
            box=[EDGE] * 3,
            masses=None,
            atoms=[{"type": "A", "count": SIZE, "mass": 1.0}],
        )
    ) == pytest.approx(0, abs=1e-10)
    section = {"kind": "rmsd", "reference": {"kind": "inline", "values": (chain()[2:7] % EDGE).tolist()}}
    section["atoms"] = [2, 3, 4, 5, 6]
    assert measured(system(tmp_path, {"a": section})) == pytest.approx(0, abs=1e-10)


def test_without_a_box_the_files_own_makes_molecules_whole(tmp_path):
    (tmp_path / "start.xyz").write_text(xyz(chain() % EDGE))
    section = {"a": {"kind": "end_to_end"}}
    expected = np.linalg.norm(chain()[-1] - chain()[0])
    assert measured(system(tmp_path, section, box=None)) == pytest.approx(expected)
    assert measured(system(tmp_path, section, box=[20.0] * 3)) == pytest.approx(expected)


def test_a_start_that_is_whole_keeps_every_bit(tmp_path):
    (tmp_path / "start.xyz").write_text(xyz(chain()))
    assert np.array_equal(system(tmp_path, {}).values["system.positions"], chain())


def test_a_run_that_is_gone_on_from_is_whole(tmp_path):
    """Its trajectory holds wrapped positions and images, or was torn from its very start."""
    for number, x in enumerate((chain(), chain() % EDGE)):
        folder = tmp_path / f"run{number}"
        folder.mkdir()
        zero = np.zeros((0, 2), int)
        top = Topology(np.zeros(SIZE, int), ("A",), np.ones(SIZE), np.zeros(SIZE), zero, True)
        with TrajectoryWriter.create(folder / "trajectory.h5md", top, REDUCED) as writer:
            values = dict.fromkeys(STANDARD, np.ones(1))
            writer.append(Frames(np.array([4]), np.array([0.4]), x[None], x[None], x[None], np.eye(3) * EDGE, values))
        start = {"start": {"run": f"run{number}"}, "positions": None}
        found = measured(system(tmp_path, {"a": {"kind": "end_to_end"}}, **start))
        assert found == pytest.approx(np.linalg.norm(chain()[-1] - chain()[0]))


@pytest.mark.parametrize("kind", ["radius_of_gyration", "end_to_end", "rmsd", "straightness"])
def test_without_bonds_atoms_over_half_a_box_apart_are_refused(tmp_path, kind):
    (tmp_path / "start.xyz").write_text(xyz(chain() % EDGE))
    section = {"kind": kind, **OBSERVABLES[kind]}
    with pytest.raises(ConfigError) as caught:
        system(tmp_path, {"a": section}, bonded=False)
    assert caught.value.path == "output.observables.a"
    assert re.search("of the box apart along its vector [ac], and no bonds of a potential join", caught.value.message)
    if kind == "straightness":
        assert caught.value.message.endswith("start from whole molecules, or give the bonds")
        return
    assert "write unwrap: true (each atom in the image nearest" in caught.value.message
    whole = measured(system(tmp_path, {"a": {**section, "unwrap": True}}, bonded=False))
    (tmp_path / "start.xyz").write_text(xyz(chain()))
    assert whole == pytest.approx(measured(system(tmp_path, {"a": section})), abs=1e-10)


def test_without_bonds_a_torn_reference_is_refused(tmp_path):
    (tmp_path / "start.xyz").write_text(xyz(chain() % EDGE))
    section = {"kind": "rmsd", "reference": REFERENCE}
    x = np.linspace([1, 1, 1], [2, 2, 2], SIZE)
    fields = {"positions": {"kind": "inline", "values": x.tolist()}, "box": [EDGE] * 3, "masses": None}
    with pytest.raises(ConfigError, match="the box may have torn the structure apart") as caught:
        system(tmp_path, {"a": section}, False, **fields, atoms=[{"type": "A", "count": SIZE, "mass": 1.0}])
    assert caught.value.path == "output.observables.a.reference"


def test_a_molecule_that_is_bonded_to_its_own_image_has_no_size(tmp_path):
    ring = np.stack([np.linspace(0, EDGE, SIZE, endpoint=False), np.ones(SIZE), np.ones(SIZE)], axis=1)
    (tmp_path / "start.xyz").write_text(xyz(ring))
    bonds = [[k, (k + 1) % SIZE] for k in range(SIZE)]
    data = {
        "units": "reduced",
        "system": {"positions": FILE, "masses": {"A": 1.0}},
        "potentials": {"bond": {**BOND, "bonds": bonds}},
        "dynamics": {"integrator": {"kind": "velocity_verlet", "dt": 0.01}, "steps": 3},
        "loss": [{"observable": {"kind": "radius_of_gyration"}, "target": 1.0}],
    }
    with pytest.raises(ConfigError) as caught:
        build(load_data(data, folder=tmp_path))
    assert caught.value.path == "loss.0.observable"
    assert caught.value.message.startswith(
        "atom 0 is of a molecule that is bonded to its own image across the box (an endless chain or network), which "
        "has no size or shape of its own; write unwrap: true"
    )
    (one,) = build(load_data(data, folder=tmp_path), loss=False).systems
    assert np.array_equal(one.values["system.positions"], ring)
