"""Numbers that cannot be learned at their value: what Lennard-Jones and the baths declare, against differences."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmd.config.checks import problems
from diffmd.config.loading import load_data
from diffmd.dynamics.integrators.langevin import LangevinSpec
from diffmd.dynamics.thermostats.berendsen import BerendsenSpec
from diffmd.dynamics.thermostats.rescale import RescaleSpec
from diffmd.errors import ConfigError
from diffmd.potentials.base import BuildContext
from diffmd.potentials.lennard_jones import LennardJones, LennardJonesSpec

CONTEXT = BuildContext("lj", ("A", "B", "C.2"), np.arange(3), 0, "")
ONE = {"A": 1.0, "B": 1.0, "C.2": 1.0}
MIX: dict[str, Any] = {
    "system": {
        "box": [4, 4, 4],
        "atoms": [{"type": "O", "count": 4, "mass": 1.0}, {"type": "H", "count": 4, "mass": 1.0}],
        "positions": {"kind": "random", "min_distance": 0.9},
    },
    "potentials": {
        "lj": {"kind": "lennard_jones", "sigma": 1.0, "epsilon": {"O": 1.0, "H": 0.0}},
    },
    "dynamics": {"integrator": {"kind": "velocity_verlet", "dt": 0.001}, "steps": 10},
    "loss": [{"observable": {"kind": "potential_energy"}, "compare": "none"}],
    "parameters": ["potentials.lj.epsilon"],
}


def _made(**fields: Any) -> LennardJones:
    made = LennardJonesSpec(**fields).build(CONTEXT)
    assert isinstance(made, LennardJones)
    return made


def _quotients(made: LennardJones, key: str) -> tuple[float, float]:
    """Of c6, summed over pairs of types: (f(h) - f(0)) / h for h of 1e-4 and 1e-8."""
    with jax.enable_x64(True):
        p = {name: jnp.asarray(value) for name, value in made.parameters.items()}

        def total(value: float) -> float:
            return float(jnp.sum(made.pair_parameters({**p, key: jnp.asarray(value)})["c6"] * np.ones((3, 3))))

        return (total(1e-4) - total(0.0)) / 1e-4, (total(1e-8) - total(0.0)) / 1e-8


@pytest.mark.parametrize(
    ("fields", "infinite", "flat"),
    [
        ({"sigma": 1.0, "epsilon": 0.0}, [], []),
        ({"sigma": 1.0, "epsilon": ONE}, [], []),
        ({"sigma": 1.0, "epsilon": {**ONE, "B": 0.0}}, ["epsilon.B"], []),
        ({"sigma": 1.0, "epsilon": {**ONE, "C.2": 0.0}}, ['epsilon["C.2"]'], []),
        ({"sigma": 1.0, "epsilon": {"A": 1.0, "B": 0.0, "C.2": 0.0}}, ["epsilon.B", 'epsilon["C.2"]'], []),
        ({"sigma": 1.0, "epsilon": dict.fromkeys(ONE, 0.0)}, [], []),
        ({"sigma": 1.0, "epsilon": {**ONE, "B": 0.0, "A-B": 0.2, "B-C.2": 0.1}}, [], []),
        ({"sigma": 1.0, "epsilon": {**ONE, "B": 0.0, "A-B": 0.2}}, ["epsilon.B"], []),
        ({"sigma": 1.0, "epsilon": {**ONE, "A-B": 0.0}}, [], []),
        ({"sigma": {**ONE, "B": 0.0}, "epsilon": 1.0}, [], []),
        ({"sigma": {**ONE, "B": 0.0}, "epsilon": 1.0, "mixing": "geometric"}, [], ["sigma.B"]),
        ({"sigma": {**ONE, "A-B": 0.0}, "epsilon": 1.0}, [], ["sigma.A-B"]),
        ({"sigma": 0.0, "epsilon": 1.0}, [], ["sigma"]),
        ({"sigma": 0.0, "epsilon": 0.0}, [], []),
        ({"sigma": dict.fromkeys(ONE, 0.0), "epsilon": {**ONE, "B": 0.0}}, [], ["sigma.A", 'sigma["C.2"]']),
    ],
)
def test_what_lennard_jones_declares_is_so(fields: dict[str, Any], infinite: list[str], flat: list[str]) -> None:
    made = _made(**fields)
    found = made.slopes(made.parameters)
    assert sorted(key for key, slope in found.items() if slope.infinite) == sorted(infinite)
    assert sorted(key for key, slope in found.items() if not slope.infinite) == sorted(flat)
    for key in (key for key, value in made.parameters.items() if value == 0):
        coarse, fine = _quotients(made, key)
        if key in infinite:
            assert fine > 50 * coarse > 0
        else:
            assert fine == pytest.approx(coarse, rel=1e-2, abs=1e-6)
        if key in flat:
            assert fine == pytest.approx(0, abs=1e-9)


def test_baths() -> None:
    def odd(spec: LangevinSpec) -> set[str]:
        made = spec.build()
        return set(made.slopes(made.parameters))

    assert odd(LangevinSpec(dt=0.1, friction=0.0, temperature=1.0)) == {"friction"}
    assert odd(LangevinSpec(dt=0.1, friction=1.0, temperature=0.0)) == {"temperature"}
    assert odd(LangevinSpec(dt=0.1, friction=0.0, temperature=0.0)) == set()
    cold, weak = RescaleSpec(temperature=0.0).build(), BerendsenSpec(temperature=0.0, tau=0.5).build()
    assert set(cold.slopes(cold.parameters, 0.1)) == {"temperature"}
    assert set(weak.slopes(weak.parameters, 0.1)) == set()
    assert set(weak.slopes(weak.parameters, 0.5)) == {"temperature"}


def test_it_is_refused_with_what_to_write() -> None:
    with pytest.raises(ConfigError) as refused:
        load_data(MIX)
    assert (
        "parameters.0: potentials.lj.epsilon.H cannot be learned from 0: pairs O-H take the geometric mean of both "
        "types' values, whose derivative is infinite there; start from a small number such as 0.001, or give the pairs "
        "a value of their own, O-H: ..."
    ) in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"parameters": ["potentials.lj.epsilon.O"]},
        {"potentials": {"lj": {**MIX["potentials"]["lj"], "epsilon": {"O": 1.0, "H": 0.0, "O-H": 0.3}}}},
        {"potentials": {"lj": {**MIX["potentials"]["lj"], "epsilon": {"O": 1.0, "H": 0.001}}}},
    ],
)
def test_what_to_write_is_taken(changes: dict[str, Any]) -> None:
    loaded = load_data({**MIX, **changes})
    assert not list(problems(loaded.config, loaded.folder))
