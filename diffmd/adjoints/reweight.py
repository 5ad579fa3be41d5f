"""Reweighting: gradients of equilibrium averages from a sampled ensemble, without a derivative through time.

An average over the ensemble at parameters p, from frames sampled at p_0, is <O>_p = sum_f w_f O(x_f; p) with the
weights of `diffmd.adjoints.ensemble`. Its derivative by automatic differentiation is

    d<O>/dp = <dO/dp> - beta (<O dU/dp> - <O> <dU/dp>),      d<O>/dT = (<O U> - <O> <U>) / (k_B T^2),

the second being the first with beta = 1 / (k_B T) in place of the parameter. One sampling serves many gradients: until
the weights have become so uneven that the effective number of frames falls under a fraction of theirs. Then the
dynamics goes on, at the parameters of then, from the state where the last sampling ended.

Two passes over the frames, in chunks, so that memory does not grow with frames times pairs: energies and observables
of all frames; then, with the derivative of the loss by each of them, one pull-back a chunk. Lists are built for each
frame. Frames of a learnt box keep their fractional coordinates (the Jacobian V^N is the same for all frames and drops
out of the weights).

The noise of a gradient comes from blocks: the frames are cut into equal stretches of time, each gives a gradient of its
own, and their spread the standard error of their mean (H. Flyvbjerg and H. G. Petersen, J. Chem. Phys. 91, 461 (1989),
doi:10.1063/1.457480). What the integrator's finite time step does to the ensemble is not differentiated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from diffmd.adjoints.base import Adjoint, Gradient, Health, Progress, Say, Stored, merged, run_steps
from diffmd.adjoints.ensemble import (
    Arrangement,
    Ensemble,
    Sample,
    averages,
    block_error,
    effective_samples,
    in_blocks,
    neighboring,
)
from diffmd.adjoints.equilibrium import refusals, still
from diffmd.adjoints.method import MethodSpec, Resources, Setting
from diffmd.adjoints.programs import ProgramCache
from diffmd.adjoints.sampling import Sampler
from diffmd.box import widths
from diffmd.dynamics.segment import Opening
from diffmd.errors import ConfigError
from diffmd.neighbors import NeighborPlan, build
from diffmd.objective import Objective, P, Problem, Ready
from diffmd.spec import METHODS, quantity
from diffmd.system import State, Values

_PAIRS = 1 << 17
"""Pairs that are looked at together: a chunk has as many frames as that allows."""
_NEIGHBORS = 128
"""Of an atom, for that count."""
_MOST = 64
"""Frames of a chunk."""
_TINY = 1e-300
_COPIES = 4
"""Of all frames of a system, beside the ensemble itself, at the peak."""
_CORRELATED = 0.5
"""Correlation of neighbouring blocks past which their spread is no measure of the noise."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Seen:
    """An ensemble as it is seen at some parameters: beta U of each frame, and each term's observable."""

    energies: Array
    rows: list[Array]


@dataclasses.dataclass(frozen=True, eq=False)
class _Part:
    """One system's loss and gradient, and what they say of themselves.

    Attributes:
        blocks: gradients of the blocks (blocks first) by path; None where the frames are too few.
        steps: the middle of each block.
        effective, frames: of the term whose weights are the most uneven.
    """

    terms: Float[np.ndarray, "terms"]
    gradients: dict[str, np.ndarray]
    blocks: dict[str, np.ndarray] | None
    steps: Float[np.ndarray, "blocks"]
    effective: float
    frames: int


class Reweight(Adjoint):
    """Gradients of averages over ensembles that are sampled again when `min_effective` of their frames is reached."""

    def __init__(self, objective: Objective, min_effective: float, blocks: int) -> None:
        self._problems = objective.with_mode("reverse").problems
        self._min_effective, self._blocks = min_effective, blocks
        self._averages = {problem.name: _Average(problem, blocks) for problem in self._problems}
        self._ensembles: dict[str, Ensemble] = {}

    def gradient(self, ready: Ready, p: P, say: Say, progress: Progress) -> Gradient:
        """Loss and gradient at `p`, from the ensembles at hand while they are good enough."""
        parts = [self._one(problem, ready, p, say, progress) for problem in self._problems]
        terms = [float(t) for part in parts for t in part.terms]
        gradients = merged([part.gradients for part in parts])
        every = [part.blocks for part in parts]
        known = [blocks for blocks in every if blocks is not None]
        error = None
        if len(known) == len(every):
            # Systems are sampled independently of each other.
            errors = {path: [block_error(blocks[path]) for blocks in known] for path in gradients}
            error = {path: np.asarray(np.sqrt(np.sum(np.square(each), axis=0))) for path, each in errors.items()}
        place = int(np.argmin([part.effective / part.frames for part in parts]))
        worst, system = parts[place], self._problems[place].name if len(parts) > 1 else None
        health = Health(
            "effective_samples",
            worst.steps,
            _relative(worst),
            None,
            None,
            self._advice(worst, gradients, error, known),
            worst.effective,
        )
        return Gradient(sum(terms), terms, gradients, health.of(system), error, samples=self._blocks)

    def steps(self, p: P) -> int:
        """A run. Where the ensemble at hand is good enough, they are told as done at once."""
        return run_steps(self._problems)

    def runs(self, p: P) -> float | None:
        """The run, and for every frame about as much as three steps: energy, observables and their derivatives."""
        frames = sum(len(average.sampler.steps) for average in self._averages.values())
        return 1 + 3 * frames / max(1, run_steps(self._problems))

    def stored(self, ready: Ready, p: P) -> Stored:
        """The frames of every system, and copies of one's: as they were sampled, and as they are looked at."""
        frames = [
            len(average.sampler.steps) * ready.values[name]["system.positions"].nbytes
            for name, average in self._averages.items()
        ]
        return Stored(float(sum(frames) + _COPIES * max(frames)), 0, "sampled frames")

    def temporary(self) -> int:
        """See `Adjoint`."""
        return max(average.temporary() for average in self._averages.values())

    def saved(self) -> dict[str, np.ndarray]:
        """The ensembles."""
        return {
            f"{name}/{key}": array
            for name, ensemble in self._ensembles.items()
            for key, array in ensemble.to_arrays().items()
        }

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Takes back what `saved` gave; given nothing, it forgets its ensembles."""
        names = {key.partition("/")[0] for key in arrays}
        self._ensembles = {
            name: Ensemble.from_arrays(
                {key.partition("/")[2]: array for key, array in arrays.items() if key.partition("/")[0] == name}
            )
            for name in names
        }

    def _one(self, problem: Problem, ready: Ready, p: P, say: Say, progress: Progress) -> _Part:
        average, ensemble = self._averages[problem.name], self._ensembles.get(problem.name)
        base, control = ready.values[problem.name], ready.controls[problem.name]
        cutoff = problem.dynamics.forcefield.cutoff

        def see(sample: Sample) -> _Seen:
            return control.settle(cutoff, lambda plan: average.seen(plan, p, base, sample))

        seen = None
        label = "" if problem.name == "default" else f"{problem.name}: "
        if ensemble is not None:
            seen = see(ensemble.sample)
            effective, frames = average.effective(seen, ensemble)
            if not effective >= self._min_effective * frames:
                say(
                    f"{label}{effective:.3g} of {frames} frames are effective at these parameters, fewer than "
                    f"{self._min_effective:g} of them: sampling {problem.steps} steps more"
                )
                seen = None
        if ensemble is None or seen is None:
            last = None if ensemble is None else ensemble.sample
            sample = average.sampler.sample(ready, p, last, say, progress)
            seen = see(sample)
            ensemble = Ensemble(sample, np.asarray(seen.energies))
            self._ensembles[problem.name] = ensemble
        else:
            progress(problem.steps)
        return average.part(control.plan, p, base, ensemble, seen)

    def _advice(
        self,
        worst: _Part,
        gradients: Mapping[str, np.ndarray],
        error: Mapping[str, np.ndarray] | None,
        blocks: Sequence[Mapping[str, np.ndarray]],
    ) -> str:
        count = f"{worst.effective:.4g} of {worst.frames} frames are effective"
        if error is None:
            return f"{count}; some term has too few frames for the noise to be told: write more steps, or fewer blocks."
        along = float(np.mean([neighboring(part) for one in blocks for part in one.values()]))
        if along > _CORRELATED:
            return (
                f"{count}; blocks that follow each other are correlated ({along:.2f}), so the noise is larger than the "
                "standard error says, or the system is not in equilibrium yet: write more steps, or equilibrate."
            )
        # Parameters have units of their own: the one whose noise is the largest part of it speaks for them.
        noise = {path: float(np.linalg.norm(value)) for path, value in error.items()}
        size = {path: float(np.linalg.norm(value)) for path, value in gradients.items()}
        noisy = max(noise, key=lambda path: noise[path] / max(size[path], _TINY))
        if noise[noisy] > size[noisy]:
            return (
                f"{count}; the gradient with respect to {noisy} ({size[noisy]:.2g}) is smaller than its noise "
                f"({noise[noisy]:.2g}): write more steps, or take it that the loss is flat there."
            )
        share = noise[noisy] / max(size[noisy], _TINY)
        return f"{count}; the noise is at most {share:.2g} of a parameter's gradient ({noisy})."


def _relative(part: _Part) -> Float[np.ndarray, "blocks"]:
    """How large the gradient of each block is, as a part of the whole: the root of the mean square over parameters."""
    if part.blocks is None:
        return np.array([])
    ratios = [
        np.sum(np.square(each).reshape(len(each), -1), axis=1) / max(float(np.sum(np.square(whole))), _TINY)
        for each, whole in ((part.blocks[path], whole) for path, whole in part.gradients.items())
    ]
    return np.sqrt(np.mean(ratios, axis=0))


class _Average:
    """The compiled functions of one problem."""

    def __init__(self, problem: Problem, blocks: int) -> None:
        self.sampler = Sampler(problem)
        self._problem = problem
        self._choice = self.sampler.choice
        frames = len(self.sampler.steps)
        self._blocks = in_blocks(self._choice, frames, blocks) if blocks <= frames else None
        atoms = problem.dynamics.system.size
        most = max(1, min(_MOST, _PAIRS // (atoms * min(atoms, _NEIGHBORS))))
        self._arranged = Arrangement.create(frames, 1 if self._blocks is None else blocks, most)
        self._cache = ProgramCache()

    def seen(self, plan: NeighborPlan, p: P, base: Values, sample: Sample) -> tuple[_Seen, Opening]:
        """The sample's energies and observables at `p`, and what tells whether a list missed a pair."""

        def look(p: P, base: Values, chunks: Float[Array, "chunks size atoms 3"]) -> Any:
            # Values, lists and all are made a chunk at a time.
            (energies, rows), openings = lax.map(lambda held: self._chunk(p, base, plan, held), chunks)
            opening = Opening(jnp.max(openings.needed, (0, 1)), jnp.min(openings.reach))
            places = self._arranged.places
            flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[places], (energies, rows))
            return flat, opening

        (energies, rows), opening = self._once(("seen", plan), look)(dict(p), base, self._chunks(sample))
        return _Seen(energies, list(rows)), opening

    def effective(self, seen: _Seen, ensemble: Ensemble) -> tuple[float, int]:
        """n_eff and the number of frames, of the term whose weights are the most uneven."""
        energies = np.asarray(seen.energies)
        found = [
            (effective_samples(energies[own], ensemble.energies[own]), len(own))
            for own in (np.asarray(places) for places in self._choice)
        ]
        return min(found, key=lambda one: one[0] / one[1])

    def part(self, plan: NeighborPlan, p: P, base: Values, ensemble: Ensemble, seen: _Seen) -> _Part:
        """Loss and gradient."""

        def estimate(energies: Array, rows: list[Array], reference: Array) -> Any:
            def loss(energies: Array, rows: list[Array], among: Array | None = None) -> tuple[Array, Array]:
                terms = averages(self._problem.terms, self._choice, energies, reference, rows, among)
                return self._problem.weight * jnp.sum(terms), self._problem.weight * terms

            def apart(energies: Array, rows: list[Array]) -> Array:
                # Each frame is in one block: the derivative of the sum is each block's own.
                if self._blocks is None:
                    return jnp.zeros_like(energies[0])
                return jnp.sum(lax.map(lambda block: loss(energies, rows, block)[0], jnp.asarray(self._blocks)))

            cts, terms = jax.grad(loss, argnums=(0, 1), has_aux=True)(energies, rows)
            own = jax.grad(apart, argnums=(0, 1))(energies, rows)
            both = jax.tree.map(lambda *ct: self._spread(jnp.stack(ct)), cts, own)
            return terms, both

        reference = jnp.asarray(ensemble.energies)
        terms, cts = self._once("estimate", estimate)(seen.energies, seen.rows, reference)
        arguments = (dict(p), base, self._chunks(ensemble.sample), cts)
        gradients, blocks = self._once(("pull", plan), lambda *given: self._pull(plan, *given))(*arguments)
        effective, frames = self.effective(seen, ensemble)
        return _Part(
            np.asarray(terms),
            {path: np.asarray(value) for path, value in gradients.items()},
            None if self._blocks is None else {path: np.asarray(value) for path, value in blocks.items()},
            np.array([])
            if self._blocks is None
            else np.array([self.sampler.steps[own].mean() for own in self._blocks]),
            effective,
            frames,
        )

    def _chunk(self, p: P, base: Values, plan: NeighborPlan, held: Float[Array, "size atoms 3"]) -> Any:
        """(beta U, observables) of some frames, and what tells whether their lists missed a pair."""
        dynamics, terms = self._problem.dynamics, self._problem.terms

        def one(held: Float[Array, "atoms 3"]) -> Any:
            values = self._problem.values(p, {**base, "system.positions": held})
            x, box = values["system.positions"], self._problem.box(values)
            still, vectors = lax.stop_gradient((x, box))
            neighbors = build(plan, still, vectors, dynamics.system.excluded)
            # What claims to read no velocities, and does, gives nan, which is seen.
            state = State(x, jnp.full_like(x, jnp.nan), jnp.zeros_like(x), box, jnp.asarray(0))
            frame = dynamics.frame(values, state, neighbors)
            kt = dynamics.system.units.boltzmann * values["dynamics.integrator.temperature"]
            rows = [jnp.asarray(term.observable.measure(frame)) for term in terms]
            reach = jnp.min(widths(vectors)) / 2 if box.periodic else jnp.asarray(jnp.inf)
            return (frame.potential_energy() / kt, rows), Opening(neighbors.needed, reach)

        return jax.vmap(one)(held)

    def _pull(self, plan: NeighborPlan, p: P, base: Values, chunks: Array, cts: Any) -> Any:
        """The gradient, and that of each block: cotangents of the frames pulled back to the parameters."""
        parts = jax.tree.map(lambda x: jnp.zeros((self._arranged.blocks, *x.shape), x.dtype), p)

        def add(total: Any, given: Any) -> tuple[Any, None]:
            held, ct, block = given
            _, vjp, _ = jax.vjp(lambda q: self._chunk(q, base, plan, held), p, has_aux=True)
            (both,) = jax.vmap(vjp)(ct)
            whole, parts = total
            whole = jax.tree.map(lambda sum_, new: sum_ + new[0], whole, both)
            return (whole, jax.tree.map(lambda sum_, new: sum_.at[block].add(new[1]), parts, both)), None

        start = (jax.tree.map(jnp.zeros_like, p), parts)
        return lax.scan(add, start, (chunks, cts, jnp.asarray(self._arranged.block)))[0]

    def _spread(self, both: Float[Array, "two frames *shape"]) -> Float[Array, "chunks two size *shape"]:
        """Cotangents of frames in chunks; zero for those that only fill up."""
        real = self._arranged.real.reshape(*self._arranged.real.shape, *[1] * (both.ndim - 2))
        return jnp.moveaxis(jnp.where(real, both[:, self._arranged.order], 0), 0, 1)

    def _chunks(self, sample: Sample) -> Float[Array, "chunks size atoms 3"]:
        return jnp.asarray(sample.frames[self._arranged.order])

    def temporary(self) -> int:
        """Bytes of the largest program's buffers."""
        return self._cache.temporary()

    def _once(self, name: Any, make: Any) -> Any:
        return self._cache.once(name, make)


@METHODS.register
class ReweightSpec(MethodSpec):
    """Averages over the canonical ensemble by reweighting sampled frames: no derivative through time.

    Takes Langevin dynamics without a thermostat, and observables of single configurations with reduce mean, none or
    variance. A sampling is a run of `dynamics.steps`, and its frames are those of the loss; several gradients share it.
    Frames between which the system hardly moves cost time and add nothing; `frames: {from: ...}` leaves out the first
    steps of every sampling, in which the system gets used to parameters that changed.
    """

    method: Literal["reweight"] = "reweight"
    min_effective: float = quantity(
        0.9,
        doc="Fresh sampling where less than this fraction of the frames is effective: exp(-sum w ln w) of weights w.",
        gt=0,
        le=1,
    )
    blocks: int = quantity(
        10, doc="Equal stretches of time, whose own gradients tell the standard error.", ge=2, le=10_000
    )

    def adjoint(self, objective: Objective, resources: Resources) -> Adjoint:
        """See `MethodSpec`."""
        return Reweight(objective, self.min_effective, self.blocks)

    def problems(self, settings: Sequence[Setting]) -> Iterator[ConfigError]:
        """Whatever has no equilibrium average over configurations, or does not change one."""
        for setting in settings:
            yield from refusals(setting)
        # Parameters are shared by all systems.
        yield from still(settings[0].parameters if settings else ())
