"""The training loop on a parabola: the best is kept, patience counts, a checkpoint is the whole state."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from diffmd.adjoints.base import Gradient, Health
from diffmd.spec import OPTIMIZERS
from diffmd.training.loop import P, Progress, epoch
from diffmd.training.optimizers import Optimizer
from diffmd.training.rules import Rule, Rules

HEALTH = Health("cotangent", np.zeros(0), np.zeros(0), None, None, "")


def optimizer(kind: str = "sgd", rate: float = 0.4, clip: float | None = None) -> Optimizer:
    spec = OPTIMIZERS.members[kind](learning_rate=rate)
    rule = Rule(None, None, False, None)
    made: Optimizer = spec.optimizer(Rules({"a": rule, "net.0/weight": rule}), clip)
    return made


def parabola(p: P) -> Gradient:
    a, w = np.asarray(p["a"]), np.asarray(p["net.0/weight"])
    loss = float((a - 1) ** 2 + np.sum(w**2))
    return Gradient(loss, [loss], {"a": np.asarray(2 * (a - 1)), "net.0/weight": 2 * w}, HEALTH)


START = {"a": jnp.asarray(3.0), "net.0/weight": jnp.asarray([0.5, -0.5])}


def test_an_epoch_records_the_values_before_its_update():
    made = optimizer()
    after, row = epoch(Progress.start(made, START), made, parabola, 0.0)
    assert (row.epoch, float(row.p["a"]), row.result.loss) == (1, 3.0, 4.5)
    assert row.norm == pytest.approx(np.sqrt(16 + 2))
    assert float(after.p["a"]) == pytest.approx(3.0 - 0.4 * 4.0)
    assert (after.best, after.best_epoch, float(after.best_p["a"])) == (4.5, 1, 3.0)


def test_the_smallest_loss_is_kept_and_patience_counts():
    made = optimizer(rate=1.5)  # goes astray
    progress = Progress.start(made, START)
    for _ in range(4):
        progress, _ = epoch(progress, made, parabola, 0.0)
    assert (progress.best_epoch, progress.waited, float(progress.best_p["a"])) == (1, 3, 3.0)


def test_min_delta_decides_patience_but_not_the_best():
    made = optimizer(rate=1e-4)
    progress = Progress.start(made, START)
    for _ in range(3):
        progress, _ = epoch(progress, made, parabola, 0.5)
    assert (progress.best_epoch, progress.waited) == (3, 2)


def test_clipping_shortens_the_gradient():
    made = optimizer(clip=0.1, rate=1.0)
    after, _ = epoch(Progress.start(made, START), made, parabola, 0.0)
    step = [np.ravel(after.p[path] - START[path]) for path in START]
    assert np.linalg.norm(np.concatenate(step)) == pytest.approx(0.1, rel=1e-5)


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw", "rmsprop", "lbfgs"])
def test_a_checkpoint_goes_on_bit_for_bit(kind: str):
    made = optimizer(kind, 0.05)
    progress = Progress.start(made, START)
    for _ in range(3):
        progress, _ = epoch(progress, made, parabola, 0.0)
    again = Progress.from_arrays(made, START, progress.to_arrays())
    for _ in range(3):
        progress, _ = epoch(progress, made, parabola, 0.0)
        again, _ = epoch(again, made, parabola, 0.0)
    first, second = progress.to_arrays(), again.to_arrays()
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert value.tobytes() == second[name].tobytes(), name
        assert value.dtype == second[name].dtype
