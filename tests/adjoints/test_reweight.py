"""Reweighting: its formula on the same frames, closed forms of a spring, independent ensembles, and what it keeps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.commanded import Listener, request, same, written
from support.objectives import FLUID, Case, changed, nothing, ready

from diffmd.adjoints.base import Gradient
from diffmd.adjoints.evaluate import Evaluator
from diffmd.adjoints.reweight.ensemble import Arrangement, effective_samples
from diffmd.adjoints.reweight.reweight import Reweight
from diffmd.commands.gradient import gradient
from diffmd.commands.scan import scan
from diffmd.commands.train import train
from diffmd.config.loading import load_data
from diffmd.errors import ConfigError, Interrupted, NumericalError

R0, K, T = "potentials.bond.r0", "potentials.bond.k", "dynamics.integrator.temperature"
DISTANCE = {"kind": "distance", "pairs": [[0, 1]]}
FRAMES = {"from": 10, "every": 10}
SPRING: dict[str, Any] = {
    "seed": 3,
    "system": {
        "box": None,
        "atoms": [{"type": "A", "count": 2, "mass": 1.0}],
        "positions": {"kind": "inline", "values": [[0.0, 0.0, 0.0], [0.3, 0.0, 0.0]]},
        "velocities": {"kind": "maxwell_boltzmann", "temperature": 0.5},
    },
    "potentials": {"bond": {"kind": "harmonic_bond", "bonds": [[0, 1]], "r0": 0.3, "k": 200.0}},
    "dynamics": {
        "integrator": {"kind": "langevin", "dt": 0.01, "friction": 20.0, "temperature": 0.5},
        "steps": 2000,
    },
    "loss": [{"observable": DISTANCE, "compare": "none", "frames": FRAMES}],
    "parameters": [R0, K, T],
    "gradient": {"method": "reweight"},
}


def exact(r0: float, k: float, t: float, *functions: Any) -> list[float]:
    """Averages of functions of the distance over r^2 exp(-k (r - r0)^2 / 2 T), by quadrature."""
    r = np.linspace(0, 3, 600_001)
    density = r**2 * np.exp(-k * (r - r0) ** 2 / (2 * t))
    return [float(np.sum(density * f(r)) / np.sum(density)) for f in functions]


def method(case: Case, min_effective: float = 0.9) -> Reweight:
    return Reweight(case.experiment.objective, min_effective)


def distances(adjoint: Reweight, system: str = "default") -> np.ndarray:
    frames = adjoint.saved()[f"{system}/frames"]
    return np.linalg.norm(frames[:, 1] - frames[:, 0], axis=1)


def at(case: Case, **values: float) -> dict[str, Any]:
    """The parameters, some of them of other values: by the last part of their paths."""
    return {path: jnp.asarray(values.get(path.rpartition(".")[2], value), float) for path, value in case.p.items()}


def weighted(r: np.ndarray, old: tuple[float, float, float], new: tuple[float, float, float]) -> np.ndarray:
    energy = [k * (r - r0) ** 2 / 2 / t for r0, k, t in (new, old)]
    w = np.exp(energy[1] - energy[0])
    return w / w.sum()


TERMS = [
    {"observable": DISTANCE, "target": 0.35, "frames": FRAMES},
    {"observable": DISTANCE, "reduce": "variance", "target": 0.01, "weight": 3.0, "frames": FRAMES},
    {"observable": DISTANCE, "reduce": "none", "target": 0.33, "frames": {"from": 10, "every": 20}},
    {"observable": {"kind": "potential_energy"}, "compare": "none", "weight": 0.1, "frames": FRAMES},
]


class TestFormula:
    """On the same frames, everything can be said in a line of NumPy."""

    def test_the_gradient_is_the_covariance(self):
        case = ready(changed(SPRING, loss=TERMS))
        adjoint = method(case, 0.2)
        adjoint.gradient(case.ready, case.p, nothing, nothing)
        for elsewhere in ({}, {"r0": 0.31, "k": 190.0, "temperature": 0.52}):
            found = adjoint.gradient(case.ready, at(case, **elsewhere), nothing, nothing)
            self.compare(distances(adjoint), elsewhere, found)

    def compare(self, r: np.ndarray, elsewhere: dict[str, float], found: Gradient) -> None:
        r0, k, t = (elsewhere.get(name, value) for name, value in (("r0", 0.3), ("k", 200.0), ("temperature", 0.5)))
        assert len(r) == 200

        def slopes(r: np.ndarray, o: np.ndarray, explicit: dict[str, Any]) -> tuple[float, dict[str, float]]:
            """<O> and d<O>/dp = <dO/dp> - beta cov(O, dU/dp); for T, cov(O, U) / T^2."""
            w = weighted(r, (0.3, 200.0, 0.5), (r0, k, t))
            du = {R0: -k * (r - r0) / t, K: (r - r0) ** 2 / 2 / t, T: -k * (r - r0) ** 2 / 2 / t**2}
            mean = w @ o
            return mean, {
                p: w @ (explicit.get(p, 0.0) * np.ones_like(r)) - (w @ (o * d) - mean * (w @ d)) for p, d in du.items()
            }

        mean, dmean = slopes(r, r, {})
        square, dsquare = slopes(r, r**2, {})
        each, deach = slopes(r[::2], (r[::2] - 0.33) ** 2, {})
        energy, denergy = slopes(r, k * (r - r0) ** 2 / 2, {R0: -k * (r - r0), K: (r - r0) ** 2 / 2})
        variance = square - mean**2
        terms = [(mean - 0.35) ** 2, 3 * (variance - 0.01) ** 2, each, 0.1 * energy]
        np.testing.assert_allclose(found.terms, terms, rtol=1e-9)
        for path in (R0, K, T):
            expected = (
                2 * (mean - 0.35) * dmean[path]
                + 6 * (variance - 0.01) * (dsquare[path] - 2 * mean * dmean[path])
                + deach[path]
                + 0.1 * denergy[path]
            )
            assert float(found.gradients[path]) == pytest.approx(expected, rel=1e-9), path

    def test_masses_move_what_is_weighted_with_them(self):
        atoms = [{"type": "A", "count": 1, "mass": 1.0}, {"type": "B", "count": 1, "mass": 3.0}]
        loss = [{"observable": {"kind": "radius_of_gyration"}, "compare": "none", "frames": FRAMES}]
        masses = ["system.atoms.0.mass", "system.atoms.1.mass"]
        case = ready(changed(SPRING, system__atoms=atoms, loss=loss, parameters=masses, dynamics__steps=200))
        adjoint = method(case)
        found = adjoint.gradient(case.ready, case.p, nothing, nothing)
        # R_g = r sqrt(m M) / (m + M), and the masses leave the distribution of r as it is.
        mean = distances(adjoint).mean()
        assert found.loss == pytest.approx(mean * np.sqrt(3) / 4, rel=1e-12)
        for path, (m, other) in zip(masses, [(1.0, 3.0), (3.0, 1.0)], strict=True):
            slope = mean * np.sqrt(m * other) / (m + other) * (0.5 / m - 1 / (m + other))
            assert float(found.gradients[path]) == pytest.approx(slope, rel=1e-9)

    def test_systems_that_share_parameters_add_up(self):
        own = {key: SPRING[key] for key in ("system", "dynamics")}
        warm = changed(own, dynamics__integrator__temperature=0.7)
        config = {key: value for key, value in SPRING.items() if key not in own}
        case = ready({**config, "systems": {"cold": own, "warm": {**warm, "weight": 2.0}}, "parameters": [R0]})
        adjoint = method(case)
        found = adjoint.gradient(case.ready, case.p, nothing, nothing)
        cold, warm_r = distances(adjoint, "cold"), distances(adjoint, "warm")
        assert not np.array_equal(cold, warm_r)
        expected = 200 * np.var(cold) / 0.5 + 2 * 200 * np.var(warm_r) / 0.7
        assert float(found.gradients[R0]) == pytest.approx(expected, rel=1e-9)
        assert found.terms == pytest.approx([cold.mean(), 2 * warm_r.mean()], rel=1e-12)
        assert found.health.system == "cold"
        assert found.health.advice.startswith("System cold: The 200 frames are worth ")

    def test_effective_samples(self):
        assert effective_samples(np.full(7, 3.0), np.full(7, 5.0)) == pytest.approx(7)
        w = np.array([0.5, 0.25, 0.125, 0.125])
        assert effective_samples(-np.log(w), np.zeros(4)) == pytest.approx(np.exp(-np.sum(w * np.log(w))))
        assert effective_samples(np.array([0.0, 800.0, 900.0]), np.zeros(3)) == pytest.approx(1)
        assert effective_samples(np.array([0.0, np.nan]), np.zeros(2)) == 0

    @pytest.mark.parametrize(
        ("frames", "most", "kept"), [(200, 64, 512), (200, 64, 30), (23, 2, 4), (7, 64, 3), (100, 100, 1), (2, 1, 9)]
    )
    def test_chunks_hold_every_frame_once(self, frames: int, most: int, kept: int):
        arranged = Arrangement.create(frames, most, kept)
        chunks, across, stretch = arranged.order.shape
        assert across * stretch <= most
        assert arranged.stretches <= max(kept, -(-frames // most))
        np.testing.assert_array_equal(arranged.order.ravel()[arranged.places], np.arange(frames))
        np.testing.assert_array_equal(arranged.places, np.arange(frames))
        numbers = np.arange(frames) ** 2.0
        padded = np.where(arranged.real, numbers[arranged.order], 0).sum(axis=2).ravel()
        np.testing.assert_array_equal(arranged.sums(numbers), padded[: arranged.stretches])
        assert chunks * across >= arranged.stretches


@pytest.fixture(scope="module")
def spring() -> Iterator[tuple[Case, Reweight]]:
    """The spring, and a method that has compiled what it takes."""
    with jax.enable_x64(True):
        case = ready(SPRING)
        yield case, method(case)


class TestSampling:
    """When it happens, where it goes on, and what is kept."""

    def test_one_sampling_serves_until_too_few_frames_are_effective(self, spring: tuple[Case, Reweight]):
        case, adjoint = spring
        adjoint.restore({})
        said: list[str] = []
        steps: list[int] = []
        first = adjoint.gradient(case.ready, case.p, said.append, steps.append)
        assert first.health.effective_samples == pytest.approx(200)
        kept = adjoint.saved()["default/frames"]
        near = adjoint.gradient(case.ready, at(case, r0=0.305), said.append, steps.append)
        assert not said
        assert adjoint.saved()["default/frames"] is kept
        assert 0.9 * 200 < near.health.effective_samples < 200.9
        assert near.health.kind == "effective_samples"
        assert near.health.norm.shape == near.health.steps.shape == (10,)
        last = adjoint.saved()
        far = adjoint.gradient(case.ready, at(case, r0=0.35), said.append, steps.append)
        assert len(said) == 1
        assert "the weights leave" in said[0]
        assert "of 200 frames, less than 0.9 of them: sampling 2000 steps more" in said[0]
        assert far.health.effective_samples == pytest.approx(200)
        # Whatever was sampled, the same number of steps is told.
        assert sum(steps) == 3 * adjoint.steps(case.p)
        assert (last["default/step"], adjoint.saved()["default/step"]) == (2000, 4000)
        # It goes on from where the last sampling ended, with noise of its own.
        assert not np.array_equal(adjoint.saved()["default/frames"], kept)

    def test_what_is_saved_makes_the_same_gradients(self, spring: tuple[Case, Reweight]):
        case, adjoint = spring
        other = method(case)
        adjoint.restore({})
        fresh = adjoint.gradient(case.fresh(), case.p, nothing, nothing)
        other.restore(adjoint.saved())
        for r0 in (0.305, 0.35, 0.352):
            one, two = (which.gradient(case.fresh(), at(case, r0=r0), nothing, nothing) for which in (adjoint, other))
            assert one.loss == two.loss
            assert one.gradients == two.gradients
            assert one.standard_error == two.standard_error
        adjoint.restore({})
        assert adjoint.gradient(case.fresh(), case.p, nothing, nothing).gradients == fresh.gradients

    def test_step_zero_and_schedules_of_different_terms(self):
        loss = [
            {"observable": DISTANCE, "compare": "none", "frames": {"every": 10, "to": 80}},
            {"observable": DISTANCE, "compare": "none", "frames": {"from": 40, "every": 20, "to": 100}},
        ]
        case = ready(changed(SPRING, loss=loss, dynamics__steps=100))
        adjoint = method(case)
        found = adjoint.gradient(case.ready, case.p, nothing, nothing)
        r = distances(adjoint)
        steps = [*range(0, 81, 10), 100]
        assert len(r) == len(steps)
        assert r[0] == pytest.approx(0.3)
        own = [steps.index(step) for step in (40, 60, 80, 100)]
        np.testing.assert_allclose(found.terms, [r[:9].mean(), r[own].mean()])
        # The second term has four frames.
        assert found.standard_error is None
        assert "too few to tell the noise; write more steps" in found.health.advice

    @pytest.mark.filterwarnings("ignore:overflow")
    def test_a_run_that_blew_up_is_explained(self):
        case = ready(changed(SPRING, dynamics__integrator__dt=3.0))
        with pytest.raises(NumericalError, match=r"blew up at step \d+: .*potentials.bond"):
            method(case).gradient(case.ready, case.p, nothing, nothing)


LIQUID = changed(
    FLUID,
    dynamics={
        "integrator": {"kind": "langevin", "dt": 0.005, "friction": 2.0, "temperature": 1.2},
        "steps": 300,
        "neighbors": {"kind": "all_pairs"},
    },
    potentials__lj__sigma={"A": 1.0, "B": 0.9},
    loss=[
        {
            "observable": {"kind": "rdf", "range": [0.8, 1.8], "bins": 4, "width": 0.2},
            "target": [0.5, 1.0, 1.0, 1.0],
            "frames": {"every": 10},
        },
        {
            "observable": {"kind": "potential_energy"},
            "reduce": "variance",
            "weight": 1e-3,
            "target": 4.0,
            "frames": {"every": 20},
        },
    ],
    parameters=["potentials.lj.sigma", "potentials.lj.epsilon", "system.box", T],
    gradient={"method": "reweight"},
)


class TestLiquid:
    def test_it_is_the_derivative_of_the_weighted_loss(self):
        case = ready(LIQUID)
        adjoint = method(case, 1e-9)
        adjoint.gradient(case.ready, case.p, nothing, nothing)
        # Frames of the first parameters count unevenly at these, the box included.
        p = {path: value * 1.01 for path, value in case.p.items()}
        found = adjoint.gradient(case.ready, p, nothing, nothing)
        assert 1 < found.health.effective_samples < 30.5
        for path, value in p.items():
            for place in np.ndindex(value.shape):
                h = 1e-5 * float(value[place])
                ends = [
                    adjoint.gradient(case.ready, {**p, path: value.at[place].add(s * h)}, nothing, nothing).loss
                    for s in (1, -1)
                ]
                assert found.gradients[path][place] == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-6), path

    @pytest.mark.slow
    def test_lists_give_what_all_pairs_give_and_grow(self):
        short = changed(LIQUID, potentials__lj__cutoff={"kind": "switch", "distance": 1.5, "from": 1.2})
        pairs = ready(short)
        listed = ready(changed(short, dynamics__neighbors={"kind": "cell_list", "skin": 0.3}))
        one, other = method(pairs, 1e-9), method(listed, 1e-9)
        expected = one.gradient(pairs.ready, pairs.p, nothing, nothing)
        other.restore(one.saved())
        control = listed.ready.controls["default"]
        control.plan = dataclasses.replace(control.plan, capacity=2)
        found = other.gradient(listed.ready, listed.p, nothing, nothing)
        assert control.plan.capacity > 2
        assert found.loss == pytest.approx(expected.loss, rel=1e-12)
        for path, value in expected.gradients.items():
            np.testing.assert_allclose(found.gradients[path], value, rtol=1e-9, err_msg=path)

    @pytest.mark.slow
    def test_ensembles_at_displaced_parameters_differ_by_it(self):
        seeds, h = 8, 0.05
        frames = {"from": 500, "every": 10}
        energy = [{"observable": {"kind": "potential_energy"}, "compare": "none", "frames": frames}]
        paths = ["potentials.lj.sigma", "potentials.lj.epsilon", T]
        # Dense, so that it forgets itself soon.
        config = changed(
            LIQUID,
            system__box=[3.0] * 3,
            system__positions__min_distance=0.8,
            potentials__lj={
                **LIQUID["potentials"]["lj"],
                "sigma": 1.0,
                "cutoff": {"kind": "shifted_force", "distance": 1.5},
            },
            dynamics__steps=10_500,
            loss=energy,
            parameters=paths,
        )
        case = ready(config)
        found = method(case).gradient(case.fresh(), case.p, nothing, nothing)
        assert found.standard_error is not None
        values = np.array([float(case.p[path]) for path in paths])
        signs = np.array([s * h * np.eye(3)[k] for k in range(3) for s in (1, -1)])
        batch = {path: jnp.asarray(values[k] * (1 + signs[:, k])) for k, path in enumerate(paths)}
        evaluator = Evaluator(case.experiment.objective)
        differences = []
        for seed in range(seeds):
            start = ready({**config, "seed": 100 + seed}).fresh()
            losses, _ = evaluator.many(start, batch, nothing, nothing)
            differences.append((losses[::2] - losses[1::2]) / (2 * h * values))
        mean = np.mean(differences, axis=0)
        error = np.std(differences, axis=0, ddof=1) / np.sqrt(seeds)
        for k, path in enumerate(paths):
            both = np.hypot(error[k], found.standard_error[path])
            assert abs(float(found.gradients[path]) - mean[k]) < 5 * both, path
            assert both < 0.3 * abs(mean[k]), path


class TestSpring:
    """Two particles on a spring: every average is an integral over r."""

    @pytest.mark.slow
    def test_averages_and_their_slopes(self):
        case = ready(changed(SPRING, dynamics__steps=200_000))
        found = method(case).gradient(case.ready, case.p, nothing, nothing)
        (mean,) = exact(0.3, 200.0, 0.5, lambda r: r)
        apart = np.array(
            [
                (exact(*up, lambda r: r)[0] - exact(*down, lambda r: r)[0]) / (2e-4 * x)
                for x, up, down in (
                    (0.3, (0.3 * 1.0001, 200.0, 0.5), (0.3 * 0.9999, 200.0, 0.5)),
                    (200.0, (0.3, 200.0 * 1.0001, 0.5), (0.3, 200.0 * 0.9999, 0.5)),
                    (0.5, (0.3, 200.0, 0.5 * 1.0001), (0.3, 200.0, 0.5 * 0.9999)),
                )
            ]
        )
        assert found.loss == pytest.approx(mean, rel=2e-3)
        assert found.standard_error is not None
        for path, slope in zip((R0, K, T), apart, strict=True):
            error = float(found.standard_error[path])
            assert abs(float(found.gradients[path]) - slope) < 5 * error
            assert error < 0.1 * abs(slope)

    @pytest.mark.slow
    def test_the_standard_error_is_that_of_independent_runs(self):
        case = ready(changed(SPRING, dynamics__steps=4000))
        adjoint = method(case, 1.0)
        # Beyond the parameters' last digits each gradient takes a sampling of its own.
        runs = [adjoint.gradient(case.ready, at(case, r0=0.3 + 1e-9 * n), nothing, nothing) for n in range(40)]
        for path in (R0, K, T):
            spread = np.std([float(run.gradients[path]) for run in runs], ddof=1)
            told = np.sqrt(np.mean([float(run.standard_error[path]) ** 2 for run in runs if run.standard_error]))
            assert told == pytest.approx(spread, rel=0.4)

    @pytest.mark.slow
    def test_training_recovers_length_and_width_from_the_distribution(self, tmp_path: Path):
        # g(r) of the wanted spring as the observable smooths it: V P(r) against a smoothed shell.
        wanted, stiff, t, edge, width = 0.35, 312.5, 0.5, 4.0, 0.01
        grid = 0.15 + 0.4 * (np.arange(40) + 0.5) / 40

        def seen(centre: float) -> Any:
            return lambda r: np.exp(-(((r - centre) / width) ** 2) / 2) / (width * np.sqrt(2 * np.pi))

        density = np.array(exact(wanted, stiff, t, *[seen(x) for x in grid]))
        target = density * edge**3 / (4 * np.pi * (grid**2 + width**2))
        config = changed(
            SPRING,
            system__box=[edge] * 3,
            dynamics__steps=60_000,
            loss=[
                {
                    "observable": {"kind": "rdf", "range": [0.15, 0.55], "bins": 40, "width": width},
                    "target": [float(x) for x in target],
                    "compare": "kullback_leibler",
                    "frames": FRAMES,
                }
            ],
            parameters=[{"path": R0, "learning_rate": 0.003}, {"path": K, "learning_rate": 8.0}],
            train={"epochs": 50, "optimizer": {"kind": "adam", "learning_rate": 1.0, "b1": 0.5, "b2": 0.9}},
            output={"every": 60_000},
        )
        listener = Listener()
        answer = train(request(written(tmp_path, config), tmp_path / "run"), listener).answer
        best = answer["parameters"]
        assert best[R0] == pytest.approx(wanted, rel=0.02)
        assert np.sqrt(t / best[K]) == pytest.approx(np.sqrt(t / stiff), rel=0.02)
        # Many updates share one simulation.
        sampled = sum("the weights leave" in text for text in listener.said)
        assert 1 <= sampled <= 20


class TestCommands:
    def test_what_gradient_answers(self, tmp_path: Path):
        result = gradient(request(written(tmp_path, SPRING), tmp_path / "run"), Listener())
        health = result.answer["health"]
        assert health["kind"] == "effective_samples"
        assert health["effective_samples"] == pytest.approx(200)
        assert health["norm"] is None
        assert "The 200 frames are worth" in health["advice"]
        assert set(result.answer["standard_error"]) == {R0, K, T}

    def test_a_training_goes_on_bit_for_bit(self, tmp_path: Path):
        config = written(
            tmp_path,
            changed(
                SPRING,
                parameters=[R0],
                output={"every": 700},
                loss__0={"observable": DISTANCE, "target": 0.4, "frames": FRAMES},
                train={"epochs": 6, "optimizer": {"kind": "adam", "learning_rate": 0.006}},
            ),
        )
        listener = Listener()
        train(request(config, tmp_path / "whole"), listener)
        # The ensemble is kept over an interruption, and sampled again before and after it.
        assert 1 <= sum("the weights leave" in text for text in listener.said) <= 4
        for after in (2, 1):
            with pytest.raises(Interrupted):
                train(request(config, tmp_path / "run", resume=True), Listener(after))
        train(request(config, tmp_path / "run", resume=True), Listener())
        for name in ("training.h5", "trajectory.h5md"):
            same(tmp_path / "run" / name, tmp_path / "whole" / name)

    def test_points_of_a_scan_stand_for_themselves(self, tmp_path: Path):
        config = written(tmp_path, changed(SPRING, dynamics__steps=400))
        over = f"{R0}=0.3:0.31:3"
        scan(request(config, tmp_path / "whole"), Listener(), over)
        with pytest.raises(Interrupted):
            scan(request(config, tmp_path / "run"), Listener(1), over)
        scan(request(config, tmp_path / "run", resume=True), Listener(), over)
        same(tmp_path / "run" / "scan.h5", tmp_path / "whole" / "scan.h5")


VERLET = {"kind": "velocity_verlet", "dt": 0.01}


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"dynamics__integrator": VERLET}, "dynamics.integrator", "frames of the canonical ensemble"),
        (
            {"dynamics__thermostat": {"kind": "berendsen", "temperature": 0.5, "tau": 1.0}},
            "dynamics.thermostat",
            "does not leave the ensemble canonical",
        ),
        ({"dynamics__integrator__friction": 0.0}, "dynamics.integrator.friction", "without friction"),
        ({"dynamics__integrator__temperature": 0.0}, "dynamics.integrator.temperature", "no ensemble"),
        ({"loss__0__observable": {"kind": "temperature"}}, "loss.0.observable", "take an observable of positions, or"),
        (
            {"loss__0__observable": {"kind": "python", "function": "some.where:else"}},
            "loss.0.observable",
            "write configurational: true if the function does not, or use method: reverse",
        ),
        (
            {"loss__0__observable": {"kind": "pressure"}, "system__box": [3.0] * 3},
            "loss.0.observable",
            "velocities or the time, .*; give it a temperature, in place of that of the velocities, or",
        ),
        ({"loss__0__observable": {"kind": "msd"}}, "loss.0.observable", "is made of the whole series, and"),
        ({"loss__0__observable": {"kind": "heat_capacity"}}, "loss.0.observable", "reduce: variance"),
        ({"loss__0__reduce": "max"}, "loss.0.reduce", "max is no average over the ensemble"),
        ({"loss__0__reduce": "correlation"}, "loss.0.reduce", "correlation is no average"),
        ({"loss__0__frames": "end"}, "loss.0.frames", "averages over many frames"),
        ({"parameters": ["system.positions[0:1]"]}, "parameters", "does not depend on where it started"),
        ({"parameters": ["system.*"]}, "parameters", "does not depend on where it started"),
        (
            {"dynamics__equilibration": {"steps": 10, "each_epoch": True}},
            "dynamics.equilibration.each_epoch",
            "goes on from the frames that it has sampled",
        ),
        ({"parameters": ["dynamics.integrator.dt"]}, "parameters", "selects dynamics.integrator.dt"),
        ({"parameters": ["dynamics.integrator"]}, "parameters", "selects dynamics.integrator.friction"),
    ],
)
def test_what_has_no_such_average_is_refused(changes: dict[str, Any], path: str, words: str):
    config = changed(SPRING, parameters=[R0])
    config["loss"][0]["compare"] = "none"
    with pytest.raises(ConfigError, match=words) as refused:
        ready(changed(config, **changes))
    assert path in str(refused.value)


def test_equilibration_anew_is_refused_in_a_system_of_its_own():
    own = {key: SPRING[key] for key in ("system", "dynamics")}
    anew = changed(own, dynamics__equilibration={"steps": 10, "each_epoch": True})
    config = {key: value for key, value in SPRING.items() if key not in own}
    with pytest.raises(ConfigError, match=r"systems\.b\.dynamics\.equilibration\.each_epoch: method: reweight goes on"):
        load_data({**config, "systems": {"a": own, "b": anew}, "parameters": [R0]})


def test_the_command_line_refuses_alike(tmp_path: Path):
    plain = changed(SPRING, gradient={"method": "reverse"}, dynamics__integrator=VERLET, parameters=[R0])
    with pytest.raises(ConfigError, match=r"--method reweight: .*canonical"):
        gradient(request(written(tmp_path, plain), tmp_path / "run"), Listener(), "reweight")
