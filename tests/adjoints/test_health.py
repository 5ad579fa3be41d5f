"""What a gradient's health says: bounded, growing, dead."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from support.objectives import FLUID, MOLECULE, PLENTY, apart, changed, flat, nothing, ready

from diffmd.adjoints.base import Gradient, Health
from diffmd.adjoints.diagnosis.health import Means, along_trajectory, explodes, remedied, worst
from diffmd.adjoints.diagnosis.zeros import Zeros, exact_zeros, zero_warnings
from diffmd.adjoints.reverse.horizon import Back, calm_horizon, gathered_back, growing_horizon, outgrown
from diffmd.adjoints.reverse.reverse import Reverse
from diffmd.commands.gradient import health_of
from diffmd.commands.run.experiment import means_of, method_spec
from diffmd.config.loading import load_data
from diffmd.dynamics.run.probes import sketch


def truncated(case, steps):
    return Reverse(case.experiment.objective, PLENTY, truncate=steps).gradient(case.fresh(), case.p, nothing, nothing)


def test_chaos_is_found():
    hot = changed(FLUID, dynamics__steps=1200, dynamics__integrator__dt=0.005, system__velocities__temperature=3.0)
    case = ready(hot)
    result = case.reverse()
    reverse, forward = result.health, case.forward().health
    for health in (reverse, forward):
        assert health.growth_rate is not None
        assert health.growth_rate > 5e-3
        assert health.horizon is not None
        assert 10 < health.horizon < 600
        assert "steps it is chaos" in health.advice
    assert reverse.kind == "cotangent"
    assert forward.kind == "tangent"
    assert reverse.steps[0] == 0
    assert 1150 < reverse.steps[-1] < 1200
    assert len(reverse.norm) == len(reverse.steps) >= 50
    assert reverse.growth_rate == pytest.approx(forward.growth_rate, rel=0.5)

    # Up to the horizon truncated gradients are alike; the whole gradient is another by orders of magnitude.
    at, half = (flat(truncated(case, steps).gradients) for steps in (reverse.horizon, reverse.horizon // 2 + 1))
    assert np.linalg.norm(at - half) < 0.6 * np.linalg.norm(at)
    assert np.linalg.norm(flat(result.gradients)) > 1e4 * np.linalg.norm(at)


def test_a_calm_gradient_tells_how_few_steps_give_it():
    damped = changed(MOLECULE, dynamics__steps=300, loss__0__frames="all")
    damped["dynamics"]["integrator"] = {"kind": "langevin", "dt": 0.05, "friction": 2.0, "temperature": 0.0}
    case = ready(damped)
    whole = case.reverse()
    horizon = whole.health.horizon
    assert horizon is not None
    assert 5 < horizon < 100
    assert f"stays bounded along the run; the last {horizon} steps give the gradient to within 10 %" in (
        whole.health.advice
    )
    enough, few = truncated(case, horizon), truncated(case, horizon // 3)
    assert apart(enough.gradients, whole.gradients) < 0.15
    assert apart(few.gradients, whole.gradients) > 0.25
    for health in (enough.health, few.health):
        assert health.growth_rate is not None
        assert "Truncated: no influence reaches over more than" in health.advice
        assert "along the run" not in health.advice


def test_the_horizon_of_a_loss_at_the_end_is_where_truncated_gradients_stay_close():
    added = np.zeros((100, 2))
    added[-20:, 0] = 1.0
    added[40, 1] = -1.0
    back = gathered_back(added, [1] * 100, 0.0, [np.array([100])])
    assert list(back.steps) == list(range(1, 101))
    # Looked at in stretches it is the same where they begin.
    lengths = [7] * 14 + [2]
    summed = np.add.reduceat(added, np.cumsum([0, *lengths[:-1]]))
    coarse = gathered_back(summed, lengths, 0.0, [np.array([100])])
    assert list(coarse.steps) == [2, *range(9, 101, 7)]
    np.testing.assert_allclose(coarse.gradients, back.gradients[coarse.steps - 1])
    assert calm_horizon(back) == 19
    # Over the run each stretch counts for as many as there are: the last 20 steps give 20 of 100 of the loss's frames.
    over = gathered_back(added, [1] * 100, 0.0, [np.arange(101)])
    np.testing.assert_allclose(over.gradients[19], [20 / (20 / 101), 0, 0])
    # What the first state adds belongs to the whole run alone.
    assert calm_horizon(gathered_back(added, [1] * 100, 30.0, [np.array([100])])) == 100
    assert calm_horizon(gathered_back(0 * added, [1] * 100, 0.0, [np.array([100])])) is None


def test_the_horizon_of_an_explosion_is_before_it():
    steps = np.arange(1, 1001)
    gradients = 2.0 + np.exp(0.5 * (steps - 300.0))
    assert 250 < growing_horizon(Back(steps, gradients[:, None])) < 300
    # Where it grows from the start, that is as long as half the steps give half of it.
    assert growing_horizon(Back(steps, np.exp(0.1 * steps)[:, None])) == pytest.approx(2 * np.log(2) / 0.1, abs=1)
    # Where nothing ever settles, up to where it is not over ten times the median of what was before.
    unsettled = (-1.0) ** steps * np.maximum(1, np.exp(0.1 * (steps - 200)))
    assert growing_horizon(Back(steps, unsettled[:, None])) == pytest.approx(223, abs=6)
    assert outgrown(np.ones(50)) == 49


def test_a_sketch_keeps_sizes_and_adds_up():
    rng = np.random.default_rng(1)
    few = {"a": jnp.asarray(3.0), "b": jnp.asarray(rng.normal(size=(2, 4)))}
    assert np.linalg.norm(sketch(few)) == pytest.approx(np.sqrt(9 + float(jnp.sum(few["b"] ** 2))))
    many = [{"w": jnp.asarray(rng.normal(size=(30, 20)))} for _ in range(40)]
    ratios = [np.linalg.norm(sketch(one)) / np.linalg.norm(one["w"]) for one in many]
    assert np.mean(ratios) == pytest.approx(1, abs=0.1)
    both = {"w": many[0]["w"] + many[1]["w"]}
    np.testing.assert_allclose(sketch(both), sketch(many[0]) + sketch(many[1]), atol=1e-12)


def test_a_dead_network_gets_a_warning():
    case = ready("nn_logo", "dynamics.steps=20", "precision=double")
    bias = next(path for path in case.p if path.endswith("0/bias"))
    dead = {**case.p, bias: jnp.full_like(case.p[bias], -100.0)}
    result = case.reverse(dead)
    first = next(path for path in case.p if path.endswith("0/weight"))
    said = "\n".join(zero_warnings(result).values())
    assert f"{first} is exactly zero" in said
    assert "ReLU" in said


def test_entries_that_are_exactly_zero_are_named():
    some = np.ones((3, 3))
    some[1:, 1:] = some[0, 2] = 0
    gradients = {"a": some, "b": np.array([0.0, 2.0]), "c": np.array(0.0), "d": np.ones(2)}
    result = Gradient(0.0, [0.0], gradients, Health("tangent", np.zeros(0), np.zeros(0), None, None, ""))
    found = exact_zeros(result)
    assert found == {
        "a": Zeros(5, 9, [[0, 2], [1, 1], [1, 2], [2, 1]]),
        "b": Zeros(1, 2, [[0]]),
        "c": Zeros(1, 1, []),
    }
    said = zero_warnings(result)
    assert "zero in 5 of its 9 entries ([0, 2], [1, 1], [1, 2], [2, 1], ...)" in said["a"]
    assert "zero in 1 of its 2 entries (0): the loss" in said["b"]
    assert "c is exactly zero: " in said["c"]


def test_sentences():
    steps = np.arange(100)
    grows = along_trajectory("tangent", steps, np.exp(0.2 * steps), reverse=False)
    assert grows.growth_rate == pytest.approx(0.2)
    assert "past about" in grows.advice
    moderate = along_trajectory("tangent", steps, np.exp(0.05 * steps), reverse=False)
    assert "still moderate" in moderate.advice
    lost = along_trajectory("tangent", steps, np.where(steps > 50, np.inf, 1.0), reverse=False)
    assert "became infinite, or no number at all" in lost.advice
    assert "do not change the trajectory" in along_trajectory("tangent", steps, np.zeros(100), reverse=False).advice
    assert "Too few" in along_trajectory("tangent", steps[:2], np.ones(2), reverse=False).advice
    assert moderate.horizon is None
    assert worst([moderate, grows, lost]) is grows
    assert worst([grows], ["default"]) is grows
    named = worst([moderate, grows, lost], ["dilute", "dense", "solid"])
    assert named.advice == f"System dense: {grows.advice}"
    assert health_of(named)["system"] == "dense"
    assert "system" not in health_of(grows)
    cut = along_trajectory("tangent", steps, np.exp(0.2 * (steps % 25)), reverse=False, truncate=25)
    assert cut.advice.startswith("Truncated: no influence reaches over more than 25 steps. The gradient grows")
    back = along_trajectory("cotangent", steps, np.exp(0.2 * steps), reverse=True)
    assert back.norm[0] > back.norm[-1]
    assert list(back.steps) == list(range(100))


def test_what_to_do_about_an_explosion_is_what_is_not_done_yet():
    steps = np.arange(100)
    wild = along_trajectory("tangent", steps, np.exp(0.2 * steps), reverse=False)
    calm = along_trajectory("tangent", steps, np.exp(0.05 * steps), reverse=False)
    assert explodes(wild)
    assert not explodes(calm)
    anything = Means(reweight=True, truncate=True, truncated=False, replicas=True, friction=True)
    said = remedied(wild, anything).advice
    assert said.startswith(f"{wild.advice} Since the loss is an average over equilibrium, take `--method reweight`")
    assert f"; or write truncate: {wild.horizon} under gradient; or average over seeds" in said
    assert "friction" in said
    little = Means(reweight=False, truncate=False, truncated=True, replicas=False, friction=False)
    said = remedied(wild, little).advice
    assert f"parameters. Lower gradient.truncate to {wild.horizon}; or run fewer dynamics.steps (about" in said
    for done in ("reweight", "friction", "seeds", "write truncate"):
        assert done not in said


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Means(False, True, False, True, True)),
        ({"gradient": {"method": "reverse", "truncate": 5, "replicas": 2}}, Means(False, False, True, False, True)),
        (
            {
                "dynamics__integrator": {"kind": "langevin", "dt": 0.01, "friction": 1.0, "temperature": 1.0},
                "loss__0__frames": {"from": 4},
            },
            Means(True, True, False, True, False),
        ),
    ],
)
def test_means_are_those_of_the_config(changes, expected):
    config = load_data(changed(FLUID, **changes)).config
    assert means_of(config, method_spec(config, None)) == expected
