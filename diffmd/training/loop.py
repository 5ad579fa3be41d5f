"""The training loop: a gradient, an update, a record; the best kept."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from diffmd.adjoints.base import Gradient
from diffmd.paths import group_name
from diffmd.training.optimizers import Optimizer, OptimizerState, state_from_arrays, state_to_arrays

P = Mapping[str, Array]


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where a training stands after `epoch` updates.

    Attributes:
        p: parameters for the next epoch.
        state: the optimizer's.
        best, best_epoch, best_p: the smallest loss, the epoch it belongs to, and its parameters (inf, 0 and the start
            before the first).
        waited: epochs since the loss was last better.
    """

    epoch: int
    p: dict[str, Array]
    state: OptimizerState
    best: float
    best_epoch: int
    best_p: dict[str, Array]
    waited: int

    @staticmethod
    def start(optimizer: Optimizer, p: P) -> Progress:
        """Before the first epoch."""
        return Progress(0, dict(p), optimizer.init(dict(p)), float("inf"), 0, dict(p), 0)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """For a checkpoint, bit for bit."""
        arrays = {f"p/{group_name(path)}": np.asarray(value) for path, value in self.p.items()}
        arrays |= {f"best_p/{group_name(path)}": np.asarray(value) for path, value in self.best_p.items()}
        arrays |= {f"optimizer/{name}": value for name, value in state_to_arrays(self.state).items()}
        numbers = {"epoch": self.epoch, "best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}
        return arrays | {name: np.asarray(value) for name, value in numbers.items()}

    @staticmethod
    def from_arrays(optimizer: Optimizer, p: P, arrays: Mapping[str, Any]) -> Progress:
        """The reverse of `to_arrays`; `p` has the parameters' paths and shapes."""
        under = lambda group: {  # noqa: E731
            path: jnp.asarray(arrays[f"{group}/{group_name(path)}"], p[path].dtype) for path in p
        }
        saved = {k.removeprefix("optimizer/"): v for k, v in arrays.items() if k.startswith("optimizer/")}
        return Progress(
            int(arrays["epoch"]),
            under("p"),
            state_from_arrays(optimizer.init(dict(p)), saved),
            float(arrays["best"]),
            int(arrays["best_epoch"]),
            under("best_p"),
            int(arrays["waited"]),
        )


@dataclasses.dataclass(frozen=True)
class EpochRecord:
    """One epoch: the values before its update."""

    epoch: int
    p: dict[str, Array]
    result: Gradient
    norm: float
    wall: float


def epoch(
    progress: Progress, optimizer: Optimizer, differentiate: Callable[[P], Gradient], min_delta: float
) -> tuple[Progress, EpochRecord]:
    """One epoch: gradient at the present parameters, then the update."""
    began = time.perf_counter()
    result = differentiate(progress.p)
    gradients = {path: jnp.asarray(result.gradients[path], value.dtype) for path, value in progress.p.items()}

    def value_and_grad(p: P) -> tuple[float, dict[str, Array]]:
        tried = differentiate(p)
        return tried.loss, {path: jnp.asarray(tried.gradients[path], value.dtype) for path, value in p.items()}

    p, state, _ = optimizer.update(progress.p, result.loss, gradients, progress.state, value_and_grad)
    better = result.loss < progress.best - (min_delta if np.isfinite(progress.best) else 0.0)
    # The best is the smallest loss seen; `min_delta` only decides whether that counts against patience.
    smaller = result.loss < progress.best
    number = progress.epoch + 1
    after = Progress(
        number,
        p,
        state,
        result.loss if smaller else progress.best,
        number if smaller else progress.best_epoch,
        progress.p if smaller else progress.best_p,
        0 if better else progress.waited + 1,
    )
    norm = float(np.sqrt(sum(float(np.sum(np.square(g))) for g in jax.tree.leaves(result.gradients))))
    return after, EpochRecord(number, progress.p, result, norm, time.perf_counter() - began)
