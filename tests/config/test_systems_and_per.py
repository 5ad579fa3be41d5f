"""Several systems that share sections, and values spread per type or per term."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from damageable import MINIMAL, Said

from diffmd.config.effective import effective_systems
from diffmd.config.loading import LoadedConfig, load, load_data
from diffmd.errors import ConfigError

Minimal = Callable[..., LoadedConfig]

SEVERAL = """\
systems:
  dilute:
    weight: 2.0
    system:
      box: [9.0, 9.0, 9.0]
      atoms: [{type: A, count: 10, mass: 1.0}]
      positions: {kind: random, min_distance: 0.5}
  dense:
    system:
      box: [5.0, 5.0, 5.0]
      atoms: [{type: A, count: 50, mass: 1.0}]
      positions: {kind: random, min_distance: 0.5}
    potentials:
      bond: {kind: harmonic_bond, bonds: [[0, 1]], r0: 0.7, k: 100.0}
    dynamics:
      integrator: {kind: velocity_verlet, dt: 0.02}
      steps: 5
    loss: []
potentials:
  lj: {kind: lennard_jones, sigma: 0.5, epsilon: 0.2, cutoff: {kind: shifted_force, distance: 2.5}}
dynamics:
  integrator: {kind: velocity_verlet, dt: 0.01}
  steps: 20
loss:
  - {observable: {kind: nearest_distance}, target: 0.5}
parameters: [potentials.lj.sigma, systems.dense.potentials.bond.k, systems.dilute.system.box]
"""


def test_systems_share_what_they_do_not_have_of_their_own(write: Callable[[str], Path]) -> None:
    dilute, dense = effective_systems(load(write(SEVERAL)).config)
    assert (dilute.name, dilute.weight, dense.weight) == ("dilute", 2.0, 1.0)
    assert list(dilute.potentials) == ["potentials.lj"]
    assert list(dense.potentials) == ["potentials.lj", "systems.dense.potentials.bond"]
    assert (dilute.dynamics.steps, dense.dynamics.steps) == (20, 5)
    assert (len(dilute.loss), len(dense.loss)) == (1, 0)
    assert dense.config_path("system.box") == "systems.dense.system.box"
    assert dense.config_path("potentials.lj.sigma") == "potentials.lj.sigma"
    assert dense.config_path("potentials.bond.k") == "systems.dense.potentials.bond.k"
    assert dense.config_path("dynamics.integrator.dt") == "systems.dense.dynamics.integrator.dt"
    assert dilute.config_path("dynamics.integrator.dt") == "dynamics.integrator.dt"


def test_a_single_system_has_unprefixed_paths(minimal: Minimal) -> None:
    (one,) = effective_systems(minimal().config)
    assert one.name == "default"
    assert one.config_path("system.atoms.0.mass") == "system.atoms.0.mass"


@pytest.mark.parametrize(
    ("override", "path", "words"),
    [
        (
            "systems.dense.potentials.lj={kind: lennard_jones, sigma: 1, epsilon: 1}",
            "systems.dense.potentials.lj",
            "rename",
        ),
        (
            "systems.dense.system.box=[4, 4, 4]",
            "potentials.lj.cutoff.distance",
            "width of systems.dense.system.box, 2;",
        ),
        ("systems.dense.potentials.bond.bonds=[[0, 50]]", "systems.dense.potentials.bond.bonds.0", "0 to 49"),
        ("dynamics=null", "systems.dilute.dynamics", "is missing"),
        ("systems.dilute.system.atoms.0.mass=0", "systems.dilute.system.atoms.0.mass", "more than 0"),
        ("parameters=[systems.dilute.potentials.bond.k]", "parameters.0", "names nothing"),
        ("systems={}", "systems", "names no system"),
        ("systems.dence.weight=1", "systems.dence", "did you mean dense"),
    ],
)
def test_errors_in_systems(said: Said, override: str, path: str, words: str) -> None:
    message = said(override, text=SEVERAL)
    assert path in message
    assert words in message


def test_per_type_writes_a_scalar_out(minimal: Minimal) -> None:
    loaded = minimal("parameters=[{path: potentials.lj.epsilon, per: type}]")
    assert loaded.data["potentials"]["lj"]["epsilon"] == {"A": 0.2, "B": 0.2}
    assert load_data(loaded.data).data == loaded.data


def test_per_term_writes_a_scalar_out(minimal: Minimal) -> None:
    loaded = minimal("parameters=[{path: potentials.bond.k, per: term}]")
    assert loaded.data["potentials"]["bond"]["k"] == [100.0, 100.0]
    loaded = minimal("potentials.bond.bonds={chain: [2, 6]}", "parameters=[{path: potentials.*.k, per: term}]")
    assert loaded.data["potentials"]["bond"]["k"] == [100.0] * 4
    assert load_data(loaded.data).data == loaded.data


def test_per_type_needs_types(write: Callable[[str], Path]) -> None:
    structure = write(MINIMAL).parent / "a.xyz"
    structure.write_text("1\n\nA 0 0 0\n")
    with pytest.raises(ConfigError, match="per: type needs the types"):
        load(
            write(MINIMAL),
            [
                "system.atoms=[]",
                f"system.positions={{kind: file, path: {structure}}}",
                "parameters=[{path: potentials.lj.epsilon, per: type}]",
            ],
        )
