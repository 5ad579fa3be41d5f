"""Lists miss no pair where nobody looks twice: before the first step, and at the last frame."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmd.adjoints.evaluate import Evaluator
from diffmd.adjoints.forward import Forward
from diffmd.adjoints.reverse.reverse import Reverse
from diffmd.commands.run.experiment import made_ready
from diffmd.commands.run.reporter import SilentReporter
from diffmd.config.build import Experiment, build
from diffmd.config.loading import load_data
from diffmd.errors import NumericalError
from diffmd.objective import Ready

CUT = {"kind": "shifted_force", "distance": 1.2}


def made(system: dict[str, Any], **sections: Any) -> tuple[Experiment, Ready]:
    data = {
        "system": {"velocities": {"kind": "zero"}} | system,
        "potentials": {"lj": {"kind": "lennard_jones", "sigma": 0.3, "epsilon": 0.2, "cutoff": CUT}},
        "loss": [{"observable": {"kind": "potential_energy"}, "compare": "none", "frames": {"from": 0, "to": 0}}],
        "parameters": ["system.box"],
    } | sections
    experiment = build(load_data(data))
    return experiment, made_ready(experiment, {}, SilentReporter())


def dynamics(kind: str, steps: int, **neighbors: Any) -> dict[str, Any]:
    return {
        "integrator": {"kind": "velocity_verlet", "dt": 0.005},
        "steps": steps,
        "neighbors": {"kind": kind, "skin": 0.3, "every": 2} | neighbors,
    }


def nobody(_: Any) -> None:
    pass


@pytest.fixture(scope="module")
def in_a_large_box():
    lattice = {"kind": "lattice", "lattice": "sc", "density": 50 / 512}
    system = {"box": [8.0, 8.0, 8.0], "atoms": [{"type": "A", "count": 50, "mass": 1.0}], "positions": lattice}
    with jax.enable_x64(True):
        return {kind: made(system, dynamics=dynamics(kind, 2)) for kind in ("all_pairs", "cell_list")}


@pytest.mark.parametrize("method", [lambda o: Reverse(o, 1 << 30), lambda o: Forward(o, 3)])
def test_a_box_that_has_shrunk_gets_longer_lists_before_the_first_forces(in_a_large_box, method):
    with jax.enable_x64(True):
        p = {"system.box": jnp.full(3, 3.0)}
        found = []
        for experiment, ready in in_a_large_box.values():
            fresh = Ready(ready.values, {"default": experiment.systems[0].control(ready.values["default"])}, ready.key)
            found.append(method(experiment.objective).gradient(fresh, p, nobody, nobody))
        everything, listed = found
        assert listed.loss == pytest.approx(everything.loss, rel=1e-12)
        np.testing.assert_allclose(listed.gradients["system.box"], everything.gradients["system.box"], rtol=1e-9)


def test_a_box_learned_smaller_than_two_cutoffs_is_refused(in_a_large_box):
    with jax.enable_x64(True):
        experiment, ready = in_a_large_box["all_pairs"]
        with pytest.raises(NumericalError, match=r"half the smallest width of the box is 1 now.*1\.2"):
            Evaluator(experiment.objective).one(ready, {"system.box": jnp.full(3, 2.0)}, nobody, nobody)


def test_a_frame_between_lists_is_measured_on_a_whole_list():
    # A shell of atoms falls inward: they have more neighbours at the last frame than at any list build before.
    k = np.arange(24) + 0.5
    polar, around = np.arccos(1 - 2 * k / 24), np.pi * (1 + 5**0.5) * k
    shell = np.stack([np.cos(around) * np.sin(polar), np.sin(around) * np.sin(polar), np.cos(polar)], axis=1)
    system = {
        "box": [10.0, 10.0, 10.0],
        "atoms": [{"type": "A", "count": 24, "mass": 1.0}],
        "positions": {"kind": "inline", "values": (5 + 2.9 * shell).tolist()},
        "velocities": {"kind": "inline", "values": (-23 * shell).tolist()},
    }
    cut = {"kind": "shifted_force", "distance": 1.6}
    potentials = {"lj": {"kind": "lennard_jones", "sigma": 0.2, "epsilon": 0.2, "cutoff": cut}}
    end = [{"observable": {"kind": "potential_energy"}, "compare": "none", "frames": {"from": 10, "every": 10}}]
    losses = []
    with jax.enable_x64(True):
        for kind in ("all_pairs", "cell_list"):
            moves = dynamics(kind, 10, skin=1.2, every=5)
            experiment, ready = made(system, dynamics=moves, potentials=potentials, loss=end, parameters=[])
            losses.append(Evaluator(experiment.objective).many(ready, {"none": jnp.zeros(1)}, nobody, nobody)[0][0])
    assert losses[1] == pytest.approx(losses[0], rel=1e-12)


def test_a_displaced_run_that_fails_takes_no_other_with_it():
    system = {
        "box": [8.0, 8.0, 8.0],
        "atoms": [{"type": "A", "count": 8, "mass": 1.0}],
        "positions": {"kind": "lattice", "lattice": "sc", "density": 8 / 512},
    }
    path = "dynamics.integrator.dt"
    with jax.enable_x64(True):
        experiment, ready = made(system, dynamics=dynamics("all_pairs", 3), parameters=[path])
        dt = jnp.asarray([0.005, jnp.nan])
        losses, _ = Evaluator(experiment.objective).many(ready, {path: dt}, nobody, nobody)
        assert np.isfinite(losses).all()  # of step 0, which dt does not reach
        end = [{"observable": {"kind": "kinetic_energy"}, "compare": "none"}]
        experiment, ready = made(system, dynamics=dynamics("all_pairs", 3), parameters=[path], loss=end)
        losses, _ = Evaluator(experiment.objective).many(ready, {path: dt}, nobody, nobody)
        assert np.isfinite(losses).tolist() == [True, False]
