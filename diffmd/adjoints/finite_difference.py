"""Finite differences: the simulation as a black box, and the judge of every other method.

Central differences d(h) = (f(p + h t) - f(p - h t)) / 2h over a sweep of steps h, extrapolated to h -> 0 by Neville's
tableau in h^2 (Ridders, Adv. Eng. Software 4, 75 (1982), doi:10.1016/S0141-1195(82)80057-0). The entry whose neighbours
agree best lies on the plateau between truncation and rounding; how far they differ is its error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from pydantic import Field

from diffmd.adjoints.base import (
    Adjoint,
    Gradient,
    Health,
    Progress,
    Say,
    Stored,
    basis,
    flat_size,
    run_steps,
    unflatten,
)
from diffmd.adjoints.evaluate import Evaluated, Evaluator
from diffmd.adjoints.method import MethodSpec, Resources
from diffmd.adjoints.options import AVERAGE, REPLICAS, replicas_of
from diffmd.adjoints.propagator import Average, Replicas, copies, propagator_of
from diffmd.adjoints.replicas.mean import scattered
from diffmd.adjoints.storage.footprint import in_a_row, state_bytes
from diffmd.objective import Objective, P, Ready
from diffmd.spec import METHODS, quantity

_RATIO = np.sqrt(10.0)
_DEPTH = 3
"""Columns of the tableau: raw differences and so many extrapolations minus one."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """A derivative along one direction, by finite differences.

    Attributes:
        value, error: the plateau's, and its own error estimate (never below rounding).
        steps: the sweep's h, falling.
        central: d(h).
        one_sided: (f(p + h t) - f(p)) / h and (f(p) - f(p - h t)) / h.
        step: the h of the chosen entry.
        rounding: what rounding alone makes of the difference at that h.
    """

    value: float
    error: float
    steps: Float[np.ndarray, "sweep"]
    central: Float[np.ndarray, "sweep"]
    one_sided: Float[np.ndarray, "2 sweep"]
    step: float
    rounding: float


@dataclasses.dataclass(frozen=True)
class Displaced:
    """Numbers that hang on parameters p, at p and where p is moved to either side along some tangents.

    Attributes:
        about: at p.
        values: of each tangent the sweep of steps, up and down.
        steps: how far, of each tangent.
        relative: the same as a part of what is moved.
        epsilon: the spacing of numbers at 1, in the parameters' precision.
    """

    about: Float[np.ndarray, "columns"]
    values: Float[np.ndarray, "tangents sweep 2 columns"]
    steps: Float[np.ndarray, "tangents sweep"]
    relative: Float[np.ndarray, "sweep"]
    epsilon: float

    def summed(self, columns: Sequence[int], factors: Float[np.ndarray, "chosen"]) -> Displaced:
        """The same of one number: the sum of some columns, each times its factor."""
        chosen = list(columns)
        about, values = self.about[chosen] @ factors, self.values[..., chosen] @ factors
        return dataclasses.replace(self, about=about[None], values=values[..., None])

    def slopes(self, step: float) -> Float[np.ndarray, "tangents columns"]:
        """Central differences over the relative step that is nearest to `step`."""
        k = int(np.argmin(np.abs(np.log(self.relative / step))))
        return (self.values[:, k, 0] - self.values[:, k, 1]) / (2 * self.steps[:, k, None])

    def differences(self) -> list[list[Difference]]:
        """For each tangent the derivative of each column."""

        def one(k: int, c: int) -> Difference:
            up, down = self.values[k, :, 0, c], self.values[k, :, 1, c]
            return _difference(self.steps[k], up, down, float(self.about[c]), self.epsilon)

        return [[one(k, c) for c in range(len(self.about))] for k in range(len(self.steps))]


class FiniteDifference(Adjoint):
    """Central differences over an objective, `batch` displaced trajectories at once; `step` None: a sweep."""

    def __init__(self, objective: Objective, step: float | None, batch: int, replicas: Replicas | None = None) -> None:
        self._problems = objective.with_mode("forward").problems
        self._evaluator = Evaluator(Objective(self._problems, objective.parameters), replicas)
        self._replicas = replicas
        self._step = step
        self._batch = max(2, batch)

    def gradient(self, ready: Ready, p: P, say: Say, progress: Progress) -> Gradient:
        """Loss and gradient at `p`, one number after another."""
        size = flat_size(p)
        about = self._evaluator.evaluated(ready, {path: jnp.asarray(x)[None] for path, x in p.items()}, say, progress)
        loss, terms = float(about.losses[0]), [float(t) for t in about.terms[0]]
        own = self._evaluator.own_losses(about, about)[0]

        def measure(evaluated: Evaluated) -> Float[np.ndarray, "batch columns"]:
            return np.concatenate([evaluated.losses[:, None], self._evaluator.own_losses(evaluated, about)], axis=1)

        def numbers(batch: P) -> Float[np.ndarray, "batch columns"]:
            return measure(self._evaluator.evaluated(ready, batch, say, progress))

        table = displaced(numbers, p, basis(p, 0, size), np.array([loss, *own]), self._batch, self._step).differences()
        whole = [row[0] for row in table]
        gradients = unflatten(p, np.array([d.value for d in whole]))
        if self._replicas is None:
            return Gradient(loss, terms, gradients, _plateau(whole))
        slopes = np.array([[d.value for d in row[1:]] for row in table]).reshape(size, len(own))
        each = [unflatten(p, column) for column in slopes.T]
        found = scattered(gradients, {path: np.stack([one[path] for one in each]) for path in p})
        return found.of(loss, terms, _plateau(whole))

    def steps(self, p: P) -> int:
        """The run itself, and displaced ones by the batch."""
        return (1 + -(-self._displaced(p) // self._batch)) * run_steps(self._problems)

    def runs(self, p: P) -> float | None:
        """The run itself and the displaced ones, of every replica."""
        return float(1 + self._displaced(p)) * copies(self._replicas)

    def _displaced(self, p: P) -> int:
        return 2 * flat_size(p) * (1 if self._step is not None else len(_sweep(p)))

    def stored(self, ready: Ready, p: P) -> Stored:
        """A state before and after a segment, and rows, of every displaced run of a batch."""
        found, many = [0], False
        for problem in self._problems:
            propagator = propagator_of(problem, self._replicas)
            base, control = ready.values[problem.name], ready.controls[problem.name]
            found.append(self._batch * 2 * state_bytes(propagator, p, base, control))
            many = many or in_a_row(problem, problem.longest(control.plan))
        rows = self._evaluator.stored(ready, p, self._batch)
        side = self._batch * copies(self._replicas)
        return Stored(float(max(found) + rows), 0, f"{self._batch} runs at once", in_a_row=many, at_once=side)

    def temporary(self) -> int:
        """See `Adjoint`."""
        return self._evaluator.temporary()

    def terms(self, ready: Ready, p: P, tangents: P, say: Say, progress: Progress) -> Displaced:
        """The terms of the loss at p, and with p moved along each tangent (stacked first)."""

        def numbers(batch: P) -> Float[np.ndarray, "batch columns"]:
            return self._evaluator.evaluated(ready, batch, say, progress).terms

        # Of as many as are moved at once, so that one program serves all.
        still = {path: jnp.asarray(np.stack([np.asarray(x)] * self._batch)) for path, x in p.items()}
        return displaced(numbers, p, tangents, numbers(still)[0], self._batch, self._step)


def displaced(
    function: Callable[[P], Float[np.ndarray, "batch columns"]],
    p: P,
    tangents: P,
    about: Float[np.ndarray, "columns"],
    batch: int,
    step: float | None = None,
) -> Displaced:
    """What each number of a function of parameters is with them moved along each tangent (stacked first).

    Args:
        function: of a batch of parameters, stacked first.
        about: its numbers at p.
        step: relative; None: a sweep of steps.
    """
    count = len(next(iter(tangents.values())))
    scales = np.array([scale(p, {path: t[k] for path, t in tangents.items()}) for k in range(count)])
    relative = _sweep(p) if step is None else np.array([step])
    steps = scales[:, None] * relative
    moves = [(k, sign * h) for k in range(count) for h in steps[k] for sign in (1, -1)]
    values: list[Float[np.ndarray, "columns"]] = []
    for start in range(0, len(moves), batch):
        chosen = moves[start : start + batch]
        # A short last batch is filled up, so that one program serves all.
        padded = chosen + [chosen[-1]] * (batch - len(chosen))
        moved = {
            path: jnp.asarray(
                np.stack([np.asarray(value) + h * np.asarray(tangents[path][k]) for k, h in padded]),
                jnp.result_type(value),
            )
            for path, value in p.items()
        }
        values += list(function(moved)[: len(chosen)])
    table = np.asarray(values, float).reshape(count, len(relative), 2, len(about))
    epsilon = float(jnp.finfo(jax.tree.leaves(dict(p))[0].dtype).eps)
    return Displaced(np.asarray(about, float), table, steps, relative, epsilon)


def _sweep(p: P) -> Float[np.ndarray, "sweep"]:
    """Relative steps, from where truncation rules to where rounding does."""
    epsilon = float(jnp.finfo(jax.tree.leaves(dict(p))[0].dtype).eps)
    smallest = epsilon ** (1 / 2)
    count = int(np.ceil(np.log(1e-2 / smallest) / np.log(_RATIO))) + 1
    return 1e-2 / _RATIO ** np.arange(count)


def scale(p: P, tangent: Any) -> float:
    """The size of what a tangent moves: its largest |p| there, or 1 where that is zero."""
    moved = [np.abs(np.asarray(p[path], float)[np.asarray(t) != 0]) for path, t in tangent.items()]
    largest = max((float(m.max()) for m in moved if m.size), default=0.0)
    return (largest if largest > 0 else 1.0) / max(float(np.max(np.abs(np.asarray(t)))) for t in tangent.values())


def _difference(
    steps: Float[np.ndarray, "sweep"],
    plus: Float[np.ndarray, "sweep"],
    minus: Float[np.ndarray, "sweep"],
    loss: float,
    epsilon: float,
) -> Difference:
    central = (plus - minus) / (2 * steps)
    one_sided = np.stack([(plus - loss) / steps, (loss - minus) / steps])
    rounding = (
        epsilon * max(abs(loss), float(np.max(np.abs(plus), initial=0)) if np.isfinite(plus).all() else 0) / steps
    )
    if len(steps) == 1:
        spread = abs(float(one_sided[0, 0] - one_sided[1, 0])) / 2
        return Difference(
            float(central[0]),
            max(spread, float(rounding[0])),
            steps,
            central,
            one_sided,
            float(steps[0]),
            float(rounding[0]),
        )
    best, error, at = float("nan"), float("inf"), 0
    column = central
    for depth in range(_DEPTH):
        # Entry k of a column rests on steps k .. k + depth.
        for k in range(1, len(column) - 1):
            around = max(abs(column[k] - column[k - 1]), abs(column[k] - column[k + 1]))
            guess = max(float(around), float(rounding[k + depth]))
            if np.isfinite(guess) and guess < error:
                best, error, at = float(column[k]), guess, k + depth
        factor = _RATIO ** (2 * (depth + 1))
        column = (factor * column[1:] - column[:-1]) / (factor - 1)
    return Difference(best, error, steps, central, one_sided, float(steps[at]), float(rounding[at]))


def _plateau(differences: list[Difference]) -> Health:
    if not differences:
        return Health("plateau", np.zeros(0), np.zeros(0), None, None, "There is nothing to differentiate.")
    worst = max(differences, key=lambda d: d.error / abs(d.value) if d.value else 0.0)
    spread = np.abs(worst.central - worst.value)
    relative = worst.error / abs(worst.value) if worst.value else 0.0
    if not np.isfinite(worst.value):
        advice = "No step size gave a finite difference: the loss is not finite near these parameters."
    elif relative > 1e-2:
        advice = (
            f"The differences agree to {relative:.1e} only, at any step: the loss is not smooth there, or chaotic; "
            "diffmd gradcheck says which."
        )
    else:
        advice = f"The differences agree to {relative:.1e} on a plateau around h = {worst.step:.1e}."
    return Health("plateau", worst.steps, spread, None, None, advice)


@METHODS.register
class FiniteDifferenceSpec(MethodSpec):
    """Central differences (f(p + h) - f(p - h)) / 2h, each parameter in turn; the step is chosen on a plateau."""

    method: Literal["finite-difference", "finite_difference"] = "finite-difference"
    step: Literal["auto"] | Annotated[float, Field(gt=0)] = quantity(
        "auto",
        doc="h relative to the largest number of what is displaced (1 if that is zero); auto: a sweep of steps, and "
        "the plateau between truncation and rounding.",
    )
    batch: int = quantity(16, doc="How many displaced trajectories run at once.", gt=0)
    replicas: int | None = REPLICAS
    average: Average = AVERAGE

    def adjoint(self, objective: Objective, resources: Resources) -> Adjoint:
        """See `MethodSpec`."""
        step = None if self.step == "auto" else self.step
        return FiniteDifference(objective, step, self.batch, replicas_of(self.replicas, self.average))
