"""The objective is what its terms say of the trajectory that `simulate` would record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest
from support.objectives import MOLECULE, changed, nothing, ready

from diffmd.adjoints.evaluate import Evaluator
from diffmd.simulation import Recorder, recording, whole_frame


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


BOND = changed(MOLECULE, potentials={"bond": MOLECULE["potentials"]["bond"]}, parameters=["potentials.bond.k"])


def recorded(case: Any, name: str) -> np.ndarray:
    """A quantity of every frame, step 0 first."""
    problem = case.experiment.objective.problems[0]
    base, control = case.ready.values["default"], case.fresh().controls["default"]
    recorder = Recorder(problem, whole_frame)
    state = recorder.start(case.p, base, control)
    rows = [np.asarray(recorder.first(case.p, base, control, state)[name])[None]]
    plan = recording(problem.steps, 1, 5)
    recorder.run(
        case.p, base, case.ready.key, control, state, plan, lambda s, a, r: rows.append(np.asarray(r[name])), nothing
    )
    return np.concatenate(rows)


def test_terms_are_what_the_frames_give():
    energy = {"observable": {"kind": "potential_energy"}, "compare": "none"}
    loss = [
        {**energy, "frames": "end"},
        {**energy, "frames": "all", "weight": 2.0},
        {**energy, "frames": {"from": 3, "to": 11, "every": 4}},
        {**energy, "frames": {"from": 0, "to": 12, "every": 5}, "reduce": "max"},
        {**energy, "frames": "all", "reduce": "variance"},
        {**energy, "frames": "all", "reduce": "none", "target": 0.2, "compare": "absolute"},
    ]
    case = ready(changed(BOND, loss=loss))
    u = recorded(case, "potential_energy")
    assert len(u) == 13
    wanted = [u[-1], 2 * u.mean(), u[[3, 7, 11]].mean(), u[[0, 5, 10]].max(), u.var(), np.abs(u - 0.2).mean()]
    total, terms = Evaluator(case.experiment.objective).one(case.fresh(), case.p, nothing, nothing)
    np.testing.assert_allclose(terms, wanted, rtol=1e-12)
    assert total == pytest.approx(sum(wanted), rel=1e-12)


def test_an_unchanged_box_moves_nothing_and_a_changed_one_keeps_fractions():
    case = ready(changed(BOND, parameters=["system.box"]))
    problem, base = case.experiment.objective.problems[0], case.ready.values["default"]
    np.testing.assert_array_equal(problem.values(case.p, base)["system.positions"], base["system.positions"])
    wider = {"system.box": case.p["system.box"] * np.array([1.1, 1.0, 0.9])}
    moved = problem.values(wider, base)["system.positions"]
    np.testing.assert_allclose(moved, base["system.positions"] * np.array([1.1, 1.0, 0.9]), rtol=1e-14)
    # `held` is the way back.
    np.testing.assert_allclose(problem.held(wider, base, moved), base["system.positions"], rtol=1e-14)
    np.testing.assert_array_equal(problem.held(case.p, base, base["system.positions"]), base["system.positions"])
    # Learnt positions move along from where they have got to.
    both = ready(changed(BOND, parameters=["system.box", "system.positions"]))
    elsewhere = {**wider, "system.positions": both.p["system.positions"] + 0.7}
    moved = both.experiment.objective.problems[0].values(elsewhere, base)["system.positions"]
    np.testing.assert_allclose(moved, elsewhere["system.positions"] * np.array([1.1, 1.0, 0.9]), rtol=1e-14)


def test_segments_cover_every_step_once():
    frames = [{"observable": {"kind": "temperature"}, "target": 0.1, "frames": {"from": 4, "to": 40, "every": 9}}]
    case = ready(changed(BOND, dynamics__steps=47, loss=frames))
    problem = case.experiment.objective.problems[0]
    for longest in (1, 4, 9, 20, 1000):
        cut = problem.segments(longest)
        assert sum(segment.steps for segment in cut) == 47
        assert all(segment.steps <= longest for segment in cut)
        assert [s.start for s in cut] == list(np.cumsum([0, *(s.steps for s in cut)])[:-1])
        assert [step for s in cut for step in s.frames if s.active] == [4, 13, 22, 31, 40]
