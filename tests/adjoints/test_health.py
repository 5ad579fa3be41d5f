"""What a gradient's health says: bounded, growing, dead."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from support.objectives import FLUID, MOLECULE, changed, ready

from diffmd.adjoints.health import along_trajectory, worst
from diffmd.commands.experiment import zero_gradients
from diffmd.commands.gradient import health_of


def test_chaos_is_found():
    hot = changed(FLUID, dynamics__steps=1200, dynamics__integrator__dt=0.005, system__velocities__temperature=3.0)
    case = ready(hot)
    reverse, forward = case.reverse().health, case.forward().health
    for health in (reverse, forward):
        assert health.growth_rate is not None
        assert health.growth_rate > 5e-3
        assert health.horizon is not None
        assert health.horizon < 1200
        assert "chaos, not signal" in health.advice
    assert reverse.kind == "cotangent"
    assert forward.kind == "tangent"
    assert len(reverse.norm) == 1200
    assert reverse.growth_rate == pytest.approx(forward.growth_rate, rel=0.5)


def test_friction_keeps_it_bounded():
    damped = changed(MOLECULE, dynamics__steps=300)
    damped["dynamics"]["integrator"] = {"kind": "langevin", "dt": 0.05, "friction": 2.0, "temperature": 0.0}
    health = ready(damped).reverse().health
    assert health.growth_rate is not None
    assert health.growth_rate < 0
    assert health.horizon is None
    assert "stays bounded" in health.advice


def test_a_dead_network_gets_a_warning():
    case = ready("nn_logo", "dynamics.steps=20", "precision=double")
    bias = next(path for path in case.p if path.endswith("0/bias"))
    dead = {**case.p, bias: jnp.full_like(case.p[bias], -100.0)}
    result = case.reverse(dead)
    first = next(path for path in case.p if path.endswith("0/weight"))
    said = "\n".join(zero_gradients(result))
    assert f"{first} is exactly zero" in said
    assert "ReLU" in said


def test_sentences():
    steps = np.arange(100)
    grows = along_trajectory("tangent", steps, np.exp(0.2 * steps), reverse=False)
    assert grows.growth_rate == pytest.approx(0.2)
    assert "past about" in grows.advice
    moderate = along_trajectory("tangent", steps, np.exp(0.05 * steps), reverse=False)
    assert "still moderate" in moderate.advice
    lost = along_trajectory("tangent", steps, np.where(steps > 50, np.inf, 1.0), reverse=False)
    assert "left the finite numbers" in lost.advice
    assert "no sensitivity" in along_trajectory("tangent", steps, np.zeros(100), reverse=False).advice
    assert "Too few" in along_trajectory("tangent", steps[:2], np.ones(2), reverse=False).advice
    assert worst([moderate, grows, lost]) is grows
    assert worst([grows], ["default"]) is grows
    named = worst([moderate, grows, lost], ["dilute", "dense", "solid"])
    assert named.advice == f"System dense: {grows.advice}"
    assert health_of(named)["system"] == "dense"
    assert "system" not in health_of(grows)
    back = along_trajectory("cotangent", steps, np.exp(0.2 * steps), reverse=True)
    assert back.norm[0] > back.norm[-1]
    assert list(back.steps) == list(range(100))
