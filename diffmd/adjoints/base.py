"""What a gradient is, and what every method needs to run a trajectory."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from diffmd.box import Box
from diffmd.objective import P, Problem, Ready
from diffmd.system import State

Say = Callable[[str], None]
Progress = Callable[[int], None]
"""Told how many steps were done."""

Floats = tuple[Array, Array, Array, Array]
"""What of a state is differentiated: positions, velocities, forces, box vectors."""


def split(state: State) -> Floats:
    """The differentiable part of a state."""
    return state.positions, state.velocities, state.forces, state.box.vectors


def join(floats: Floats, box_shape: str, step: Array) -> State:
    """The reverse of `split`."""
    x, v, f, h = floats
    return State(x, v, f, Box(h, box_shape), step)  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True)
class Health:
    """Whether a gradient means anything.

    Attributes:
        kind: what `norm` is: ``cotangent`` (reverse), ``tangent`` (forward), ``plateau`` (finite differences),
            ``effective_samples`` (reweight: the gradient of each stretch of frames, as a part of the whole),
            ``residual`` (implicit: the largest force after each Newton step at the end of the run).
        steps, norm: the norm along the trajectory, by step, of the system where it is largest; for ``plateau``, the
            relative step sizes and the spread of the derivative there.
        growth_rate: mean d ln(norm) per step in the direction of propagation.
        horizon: number of steps back up to which truncated gradients agree (see `diagnosis.health.along_trajectory`):
            the fewest that give the gradient or, where it explodes, the most before that; None where it is not known.
        advice: one sentence.
        effective_samples: how many of the sampled frames the weights leave (reweight).
        system: whose it is, of several systems the one that is worst off; None where there is one.
        doubts: sentences of the advice on what was sampled: a start that is not forgotten, a fluid that stands still.
    """

    kind: str
    steps: Float[np.ndarray, "points"]
    norm: Float[np.ndarray, "points"]
    growth_rate: float | None
    horizon: int | None
    advice: str
    effective_samples: float | None = None
    system: str | None = None
    doubts: tuple[str, ...] = ()

    def of(self, system: str | None) -> Health:
        """The same, as that of a system which its sentence names; None: of the only one."""
        if system is None:
            return self
        return dataclasses.replace(self, system=system, advice=f"System {system}: {self.advice}")


@dataclasses.dataclass(frozen=True)
class Gradient:
    """A loss and its gradient.

    Attributes:
        loss: the objective.
        terms: its weighted terms, system after system.
        gradients: by parameter path, of the physical value, in the parameter's shape.
        health: as far as the method can tell.
        standard_error: of the gradient's mean over independent samples, where the method has any (replicas, frames).
        sign_agreement: the fraction of replicas whose gradient has the sign of the mean, by parameter.
        samples: how many the standard error is of.
    """

    loss: float
    terms: list[float]
    gradients: dict[str, np.ndarray]
    health: Health
    standard_error: dict[str, np.ndarray] | None = None
    sign_agreement: dict[str, np.ndarray] | None = None
    samples: int | None = None


@dataclasses.dataclass(frozen=True)
class Stored:
    """What a gradient keeps while it runs.

    Attributes:
        bytes: of states, residuals, frames.
        repeats: how often the whole run is repeated because not everything can be kept.
        kept: what it is, in a word or two.
        scales: whether its cost grows with the steps, so that short runs tell that of a long one.
        at_once: how many runs its programs hold side by side; a derivative that is carried along counts as one.
        in_a_row: whether many short programs follow each other at once: on a CPU one begins before the buffers of the
            one before it have been given back.
    """

    bytes: float
    repeats: int = 0
    kept: str = ""
    scales: bool = True
    in_a_row: bool = False
    at_once: int = 1


class Adjoint(abc.ABC):
    """A way to differentiate an objective. An instance keeps what it has compiled, so epochs never recompile.

    What it learns from one gradient that changes the next (a sampled ensemble) is in `saved`, so that a training which
    is resumed goes on as it would have.
    """

    @abc.abstractmethod
    def gradient(self, ready: Ready, p: P, say: Say, progress: Progress) -> Gradient:
        """Loss and gradient at `p`."""

    @abc.abstractmethod
    def steps(self, p: P) -> int:
        """How many steps `gradient` will tell `progress` of."""

    def runs(self, p: P) -> float | None:
        """About how many plain runs one gradient takes, as a rule of thumb; None where that hangs on the run."""
        return None

    def stored(self, ready: Ready, p: P) -> Stored:
        """What `gradient` will keep; nothing is run for it but a first state."""
        return Stored(0.0)

    def planned(self, ready: Ready, p: P) -> int | None:
        """Bytes of the largest buffers of the programs that `gradient` will run, as XLA plans them: compiled, not run.

        None where those of a shorter run are as large (see `temporary`).
        """
        return None

    def temporary(self) -> int:
        """Bytes of the largest buffers of the programs that have run, as XLA planned them."""
        return 0

    def saved(self) -> dict[str, np.ndarray]:
        """What later gradients depend on beside their arguments, for a checkpoint."""
        return {}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Takes back what `saved` gave; of nothing, it forgets whatever it had."""
        if arrays:
            raise ValueError(f"nothing is kept between gradients, and {', '.join(arrays)} was saved")


Choice = tuple[tuple[int, ...] | int, ...]
"""For each term, which of the rows that were taken its schedule asks for; a number: its piece is the sum of so many."""


def chosen_rows(choice: Choice, pieces: list[list[Any]], *, start: bool) -> list[Any]:
    """Each term's rows, frames first, from its pieces; with `start` the first piece is step 0's single row.

    Of a term that was added up it is one row: their mean.
    """
    rows = []
    for chosen, parts in zip(choice, pieces, strict=True):
        if isinstance(chosen, int):
            rows.append((parts[0] / chosen)[None])
            continue
        parts = [jax.tree.map(lambda row: row[None], parts[0]), *parts[1:]] if start else parts
        whole = jax.tree.map(lambda *pieces: jnp.concatenate(pieces), *parts)
        taken = jax.tree.leaves(whole)[0].shape[0]
        rows.append(whole if chosen == tuple(range(taken)) else _chosen(whole, np.asarray(chosen)))
    return rows


def _chosen(rows: Any, places: Int[np.ndarray, "frames"]) -> Any:
    return jax.tree.map(lambda row: row[places], rows)


def run_steps(problems: Sequence[Problem]) -> int:
    """Steps of one run of every problem."""
    return sum(problem.steps for problem in problems)


def flat_size(p: P) -> int:
    """How many numbers the parameters are."""
    return sum(int(np.size(value)) for value in p.values())


def basis(p: P, start: int, stop: int) -> dict[str, Array]:
    """Unit tangents number `start` to `stop` of the flattened parameters, stacked first."""
    out: dict[str, Array] = {}
    offset = 0
    for path, value in p.items():
        size = int(np.size(value))
        rows = np.zeros((stop - start, size))
        for k in range(max(start, offset), min(stop, offset + size)):
            rows[k - start, k - offset] = 1
        out[path] = jnp.asarray(rows, jnp.result_type(value)).reshape(stop - start, *np.shape(value))
        offset += size
    return out


def unflatten(p: P, flat: Float[np.ndarray, "numbers"]) -> dict[str, np.ndarray]:
    """The reverse of flattening: numbers in the parameters' shapes."""
    out = {}
    offset = 0
    for path, value in p.items():
        size = int(np.size(value))
        out[path] = np.asarray(flat[offset : offset + size]).reshape(np.shape(value))
        offset += size
    return out


def tree_bytes(tree: Any) -> int:
    """Bytes of all arrays of a pytree (of arrays or of their shapes)."""
    return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def merged(dicts: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Sum of gradients of several problems, path by path."""
    out: dict[str, np.ndarray] = {}
    for one in dicts:
        for path, value in one.items():
            out[path] = np.asarray(out[path] + np.asarray(value) if path in out else value)
    return out
