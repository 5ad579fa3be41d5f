"""Truncation and clipping of what a derivative carries from step to step; checkpoints within any memory."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from support.objectives import MOLECULE, PLENTY, apart, changed, nothing, ready

from diffmd.adjoints.auto import Auto
from diffmd.adjoints.forward import Forward
from diffmd.adjoints.propagator import Replicas, spread_values
from diffmd.adjoints.reverse.reverse import Reverse
from diffmd.adjoints.storage.checkpoints import layout
from diffmd.dynamics.run.shape import Shape
from diffmd.objective import Ready

STEPS = 12
# Bonds alone: they compile soon.
BONDS = changed(MOLECULE, potentials={"bond": MOLECULE["potentials"]["bond"]}, parameters=["potentials.bond"])
CONFIG = changed(BONDS, parameters=["potentials.bond", "system.positions"])


@pytest.fixture(scope="module")
def case():
    with jax.enable_x64(True):
        yield ready(CONFIG)


def test_truncated_gradients_agree_and_are_those_of_the_last_steps(case):
    objective, kept = case.experiment.objective, 5
    reverse = Reverse(objective, PLENTY, truncate=kept).gradient(case.fresh(), case.p, nothing, nothing)
    forward = Forward(objective, 16, truncate=kept).gradient(case.fresh(), case.p, nothing, nothing)
    assert apart(forward.gradients, reverse.gradients) < 1e-9
    np.testing.assert_array_equal(reverse.gradients["system.positions"], 0)

    problem = objective.with_mode("reverse").problems[0]
    base, key, plan = case.ready.values["default"], case.ready.key, case.ready.controls["default"].plan
    held = problem.advance(case.p, base, key, Shape(STEPS - kept, 0, 0, (), plan), problem.start(case.p, base, plan))[0]

    def last_steps(p):
        end = problem.advance(p, base, key, Shape(kept, 0, 0, (), plan), held)[0]
        rows = [row[None] for row in problem.measure(p, base, plan, end)]
        return problem.finish(rows)[0]

    expected = jax.jit(jax.grad(last_steps))(case.p)
    for path in ("potentials.bond.k", "potentials.bond.r0"):
        np.testing.assert_allclose(reverse.gradients[path], expected[path], rtol=1e-9)


def test_a_truncation_longer_than_the_run_changes_nothing(case):
    objective = case.experiment.objective
    whole, cut = (
        Reverse(objective, PLENTY, truncate=n).gradient(case.fresh(), case.p, nothing, nothing) for n in (None, 100)
    )
    assert apart(cut.gradients, whole.gradients) < 1e-12


def test_the_cotangent_is_clipped_at_every_step(case):
    objective = case.experiment.objective
    whole, loose, tight = (
        Reverse(objective, PLENTY, clip=clip).gradient(case.fresh(), case.p, nothing, nothing)
        for clip in (None, 1e6, 1e-3)
    )
    assert apart(loose.gradients, whole.gradients) < 1e-12
    assert tight.loss == whole.loss
    # What reaches the start came through one step after the last clip.
    assert (
        np.linalg.norm(tight.gradients["system.positions"]) < 2e-3 < np.linalg.norm(whole.gradients["system.positions"])
    )
    assert tight.health.norm[-1] == pytest.approx(whole.health.norm[-1], rel=1e-9)
    # Copies of a run are clipped as the run is.
    copies = Ready(
        {"default": spread_values([case.ready.values["default"]] * 3)}, case.fresh().controls, case.ready.key
    )
    each = Reverse(objective, PLENTY, Replicas(3), clip=1e-3).gradient(copies, case.p, nothing, nothing)
    assert apart(each.gradients, tight.gradients) < 1e-9


def test_few_numbers_go_forward_and_many_back(case):
    objective = case.experiment.objective
    many = Auto(objective, PLENTY, None, None).gradient(case.fresh(), case.p, nothing, nothing)
    few = {"potentials.bond.r0": case.p["potentials.bond.r0"]}
    assert many.health.kind == "cotangent"
    case_few = ready(changed(BONDS, parameters=["potentials.bond.r0"]))
    one = Auto(case_few.experiment.objective, PLENTY, None, None).gradient(case_few.fresh(), few, nothing, nothing)
    assert one.health.kind == "tangent"
    assert one.gradients["potentials.bond.r0"] == pytest.approx(many.gradients["potentials.bond.r0"], rel=1e-9)


@pytest.mark.parametrize(("memory", "name"), [(2_000_000, "none"), (300_000, "square-root"), (70_000, "multi-level")])
def test_checkpoints_fit_the_memory(memory, name):
    found = layout(steps=1000, state=1000, residual=2000, usual=1000, memory=memory)
    assert found.name == name
    assert found.predicted <= memory


def test_every_level_of_checkpoints_gives_the_same_gradient():
    longer = ready(changed(CONFIG, dynamics__steps=60, loss__0__frames="all"))
    objective = longer.experiment.objective
    state, results = 4 * 9 * 8 + 72, []
    for memory in (PLENTY, 20 * state, 2 * state):
        adjoint = Reverse(objective, memory)
        results.append(adjoint.gradient(longer.fresh(), longer.p, nothing, nothing))
        levels = {one.name for one in adjoint.layouts.values()}
        results[-1] = (results[-1], levels)
    assert [levels for _, levels in results] == [{"none"}, {"square-root"}, {"multi-level"}]
    for found, _ in results[1:]:
        # Segments of other lengths are other programs: the last bit is theirs.
        assert found.loss == pytest.approx(results[0][0].loss, rel=1e-12)
        assert apart(found.gradients, results[0][0].gradients) < 1e-12
