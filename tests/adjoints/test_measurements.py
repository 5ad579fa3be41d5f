"""Rows that are added up on the way give the loss and gradient of rows that are kept, in memory that does not grow."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.objectives import MOLECULE, PLENTY, Case, apart, changed, nothing, ready

import diffmd.adjoints.storage.measurements as rows_module
from diffmd.adjoints.base import Adjoint, Gradient, chosen_rows
from diffmd.adjoints.forward import Forward
from diffmd.adjoints.propagator import Replicas, propagator_of
from diffmd.adjoints.reverse.reverse import Reverse
from diffmd.adjoints.reversible.reversible import Reversible
from diffmd.adjoints.storage.measurements import Cotangents, Kept, Measurements, kept_of
from diffmd.commands.run.experiment import copied, made_ready
from diffmd.commands.run.reporter import SilentReporter
from diffmd.objective import Problem

DISTANCES = {"kind": "distance", "pairs": [[0, 2], [1, 3]]}
# Schedules that fit no few legs, so that frames are measured which a term does not ask for; one without step 0.
LOSS = [
    {"observable": DISTANCES, "target": 1.0, "frames": {"from": 0, "every": 3}},
    {"observable": {"kind": "gyration_tensor"}, "compare": "none", "frames": {"from": 4, "every": 5}},
    {"observable": DISTANCES, "compare": "none", "reduce": "variance", "frames": "all"},
]
# Bonds alone: they compile soon.
BONDS = changed(MOLECULE, potentials={"bond": MOLECULE["potentials"]["bond"]}, parameters=["potentials.bond"])
CONFIG = changed(BONDS, dynamics__steps=25, loss=LOSS)

METHODS: dict[str, Callable[[Case], Adjoint]] = {
    "reverse": lambda case: Reverse(case.experiment.objective, PLENTY),
    "again": lambda case: Reverse(case.experiment.objective, 400),
    "forward": lambda case: Forward(case.experiment.objective, 2),
}


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are added up however small they are, of five frames at a time."""
    monkeypatch.setattr(rows_module, "SUMMED_ABOVE", 0)
    monkeypatch.setattr(rows_module, "_HELD", 5 * (8 + 72))


@pytest.fixture(scope="module")
def kept_whole() -> Gradient:
    """Loss and gradient from rows that are kept."""
    with jax.enable_x64(True):
        return ready(CONFIG).reverse()


@pytest.mark.parametrize("method", METHODS)
def test_added_rows_give_the_gradient_of_kept_ones(method: str, kept_whole: Gradient, added: None):
    case = ready(CONFIG)
    said: list[str] = []
    found = METHODS[method](case).gradient(case.fresh(), case.p, said.append, nothing)
    # The variance's frames take more than half of what that one may.
    assert [told[:33] for told in said] == (["loss.2: 26 frames of 8e-06 MB eac"] if method == "again" else [])
    np.testing.assert_allclose(found.terms, kept_whole.terms, rtol=1e-13)
    assert apart(found.gradients, kept_whole.gradients) < 1e-12


def test_added_rows_give_the_loss_of_kept_ones(kept_whole: Gradient, added: None):
    assert ready(CONFIG).loss() == pytest.approx(kept_whole.loss, rel=1e-13)


@pytest.mark.slow
def test_added_rows_of_replicas_give_the_gradient_of_kept_ones(request: pytest.FixtureRequest):
    case = ready(changed(CONFIG, system__velocities={"kind": "maxwell_boltzmann", "temperature": 1e-3}))
    objective, pair = case.experiment.objective, Replicas(2, "observable")
    start = made_ready(case.experiment, case.p, SilentReporter(), None, 2)

    def gradient() -> Gradient:
        return Reversible(objective, replicas=pair).gradient(copied(start), case.p, nothing, nothing)

    kept = gradient()
    request.getfixturevalue("added")
    found = gradient()
    np.testing.assert_allclose(found.terms, kept.terms, rtol=1e-13)
    assert apart(found.gradients, kept.gradients) < 1e-12
    assert found.standard_error is not None
    assert kept.standard_error is not None
    assert apart(found.standard_error, kept.standard_error) < 1e-9


def _problem(steps: int, reduce: str = "mean") -> Problem:
    loss = [{"observable": DISTANCES, "compare": "none", "reduce": reduce, "frames": "all"}]
    (problem,) = ready(changed(MOLECULE, loss=loss)).experiment.objective.problems
    return dataclasses.replace(problem, steps=steps)


def _measured(kept: Kept, lead: int = 0) -> tuple[Measurements, np.ndarray]:
    """The whole run's rows, of random numbers, as segments would give them."""
    problem = kept.problem
    every = np.random.default_rng(3).normal(size=(problem.steps + 1, 2))
    copies = np.stack([every, 2 * every]) if lead else every
    rows = Measurements.empty(kept, lead)
    rows.add_start([jnp.asarray(copies[..., 0, :])])
    for segment in problem.segments(kept.longest(40)):
        frames = [jnp.asarray(copies[..., list(segment.frames), :])] if segment.active else []
        rows.add(segment, frames)
    return rows, every


@pytest.mark.parametrize("lead", [0, 1])
def test_what_is_kept_of_a_mean_does_not_grow(lead: int, added: None):
    sizes = []
    for steps in (10, 1000):
        kept = Kept(_problem(steps), (16,))
        rows, every = _measured(kept, lead)
        (piece,) = rows.pieces[0]
        sizes.append((piece.nbytes, kept.bytes <= rows_module._HELD + 16, kept.longest(40)))
        assert rows.choice == (steps + 1,)
        if not lead:
            (mean,) = chosen_rows(rows.choice, rows.pieces, start=True)
            np.testing.assert_allclose(mean[0], every.mean(axis=0), rtol=1e-12)
        cotangents = Cotangents(rows, [[jnp.ones_like(piece)]])
        for segment in kept.problem.segments(kept.longest(40)):
            (own,) = cotangents.of(segment)
            assert own.shape == (*piece.shape[:lead], len(segment.frames), 2)
        assert cotangents.of_start()[0].shape == piece.shape
    assert sizes == [(16 * (1 + lead), True, 25)] * 2


def test_small_rows_and_other_reductions_are_kept_and_counted():
    large = rows_module.SUMMED_ABOVE // 10
    assert Kept(_problem(10), (16,)).summed == (False,)
    mean, variance = (Kept(_problem(1000, reduce), (large,)) for reduce in ("mean", "variance"))
    assert mean.summed == (True,)
    assert mean.bytes <= rows_module._HELD + large
    assert mean.warning(0) is None
    assert variance.summed == (False,)
    assert variance.bytes == 1001 * large
    assert variance.warning(variance.bytes) is None
    told = variance.warning(variance.bytes - 1)
    assert told is not None
    assert told.startswith("loss.0: 1001 frames of 1.68 MB each are kept to the end of the run, 1.68 GB in all; ")
    assert "every: n" in told


def test_rows_are_counted_from_their_shapes():
    case = ready(CONFIG)
    (problem,) = case.experiment.objective.problems
    control, base = case.ready.controls[problem.name], case.ready.values[problem.name]
    kept = kept_of(propagator_of(problem), case.p, base, control.plan, copies=3)
    assert kept.sizes == (3 * 8, 3 * 72, 3 * 8)
    whole = kept.bytes // 3
    assert whole == 8 * 9 + 72 * 5 + 8 * 26
    for adjoint, factor in (
        (Forward(case.experiment.objective, 2), 4),
        (Reverse(case.experiment.objective, PLENTY), 2),
    ):
        assert adjoint.stored(case.fresh(), case.p).bytes >= factor * whole
    only_end = ready(changed(MOLECULE, dynamics__steps=24))
    (single,) = only_end.experiment.objective.problems
    control, base = only_end.ready.controls[single.name], only_end.ready.values[single.name]
    assert kept_of(propagator_of(single), only_end.p, base, control.plan).bytes == 0
