"""Reweighting: gradients of equilibrium averages from a sampled ensemble, without a derivative through time.

An average over the ensemble at parameters p, from frames sampled at p_0, is <O>_p = sum_f w_f O(x_f; p) with the
weights of `diffmd.adjoints.reweight.ensemble`. Its derivative by automatic differentiation is

    d<O>/dp = <dO/dp> - beta (<O dU/dp> - <O> <dU/dp>),      d<O>/dT = (<O U> - <O> <U>) / (k_B T^2),

the second being the first with beta = 1 / (k_B T) in place of the parameter. One sampling serves many gradients: until
the weights have become so uneven that the effective number of frames falls under a fraction of theirs. Then the
dynamics goes on, at the parameters of then, from the state where the last sampling ended.

Two passes over the frames, in chunks, so that memory does not grow with frames times pairs: energies and observables
of all frames; then, with the derivative of the loss by each of them, one pull-back a chunk. Lists are built for each
frame. Frames of a learnt box keep their fractional coordinates (the Jacobian V^N is the same for all frames and drops
out of the weights).

The noise of a gradient comes from what each frame does to it, correlated as frames are that follow each other (see
`influence`). What the integrator's finite time step does to the ensemble is not differentiated.
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
from diffmd.adjoints.method import MethodSpec, Resources, Setting
from diffmd.adjoints.reweight.diffusion import molecules, still
from diffmd.adjoints.reweight.ensemble import Arrangement, Ensemble, Sample, effective_samples
from diffmd.adjoints.reweight.equilibrium import ineffective, refusals
from diffmd.adjoints.reweight.influence import Influence, combinations, influences, scatter
from diffmd.adjoints.reweight.sampled import LEAST, STRETCHES, Sampling, by_stretch, error, judged
from diffmd.adjoints.reweight.sampling import Sampler
from diffmd.box import volume, widths
from diffmd.dynamics.run.shape import Opening
from diffmd.errors import ConfigError
from diffmd.neighbors import NeighborPlan
from diffmd.objective import Objective, P, Problem, Ready
from diffmd.spec import METHODS, quantity
from diffmd.system import State, Values

_PAIRS = 1 << 17
"""Pairs that are looked at together: a chunk has as many frames as that allows."""
_NEIGHBORS = 128
"""Of an atom, for that count."""
_MOST = 64
"""Frames of a chunk."""
_COPIES = 4
"""Of all frames of a system, beside the ensemble itself, at the peak."""
_KEPT = 512
"""Stretches of frames whose gradients are kept apart."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Observed:
    """An ensemble as it is seen at some parameters: beta U of each frame, and each term's observable."""

    energies: Array
    rows: list[Array]


@dataclasses.dataclass(frozen=True, eq=False)
class _Part:
    """One system's loss and gradient, and what they say of themselves.

    Attributes:
        errors: standard errors by path; None where the frames are too few.
        steps, norm: the middle of each stretch of time, and how large its gradient is as a part of the whole.
    """

    terms: Float[np.ndarray, "terms"]
    gradients: dict[str, np.ndarray]
    errors: dict[str, np.ndarray] | None
    steps: Float[np.ndarray, "stretches"]
    norm: Float[np.ndarray, "stretches"]
    sampling: Sampling


class Reweight(Adjoint):
    """Gradients of averages over ensembles that are sampled again when `min_effective` of their frames is reached."""

    def __init__(self, objective: Objective, min_effective: float) -> None:
        self._problems = objective.with_mode("reverse").problems
        self._min_effective = min_effective
        self._averages = {problem.name: _Average(problem) for problem in self._problems}
        self._ensembles: dict[str, Ensemble] = {}

    def gradient(self, ready: Ready, p: P, say: Say, progress: Progress) -> Gradient:
        """Loss and gradient at `p`, from the ensembles at hand while they are good enough.

        Raises ValueError where the loss is to be another one (`Ready.factors`).
        """
        if ready.factors:
            raise ValueError("the averages of reweight know nothing of factors")
        parts = [self._one(problem, ready, p, say, progress) for problem in self._problems]
        terms = [float(t) for part in parts for t in part.terms]
        gradients = merged([part.gradients for part in parts])
        known = [part.errors for part in parts if part.errors is not None]
        errors = None
        if len(known) == len(parts):
            # Systems are sampled independently of each other.
            errors = {path: np.asarray(np.sqrt(sum(np.square(one[path]) for one in known))) for path in gradients}
        place = int(np.argmin([part.sampling.worth for part in parts]))
        worst, system = parts[place], self._problems[place].name if len(parts) > 1 else None
        health = Health(
            "effective_samples",
            worst.steps,
            worst.norm,
            None,
            None,
            worst.sampling.sentence(gradients, errors),
            worst.sampling.effective,
            doubts=worst.sampling.doubts,
        )
        samples = max(2, int(worst.sampling.independent))
        return Gradient(sum(terms), terms, gradients, health.of(system), errors, samples=samples)

    def losses(self, ready: Ready, batch: P, say: Say) -> Float[np.ndarray, "batch"]:
        """The loss at each of a batch of parameters (stacked first), from the ensembles at hand however uneven their
        weights become: a smooth function, whose derivative `gradient` is."""
        found = []
        for number in range(len(next(iter(batch.values())))):
            p = {path: value[number] for path, value in batch.items()}
            found.append(sum(self._loss(problem, ready, p, say) for problem in self._problems))
        return np.array(found)

    def _loss(self, problem: Problem, ready: Ready, p: P, say: Say) -> float:
        average, ensemble = self._averages[problem.name], self._ensembles[problem.name]
        base, control = ready.values[problem.name], ready.controls[problem.name]
        cutoff = problem.dynamics.forcefield.cutoff
        observed = control.settle(cutoff, lambda plan: average.observed(plan, p, base, ensemble.sample))
        return average.loss(ensemble, observed)

    def steps(self, p: P) -> int:
        """A run. Where the ensemble at hand is good enough, they are told as done at once."""
        return run_steps(self._problems)

    def runs(self, p: P) -> float | None:
        """The run, and for every frame about as much as three steps, by benchmarks/dry_run.py: energy, observables and
        their derivatives."""
        frames = sum(len(average.sampler.steps) for average in self._averages.values())
        return 1 + 3 * frames / max(1, run_steps(self._problems))

    def stored(self, ready: Ready, p: P) -> Stored:
        """The frames of every system, and copies of one's: as they were sampled, and as they are looked at."""
        frames = [
            len(average.sampler.steps) * ready.values[name]["system.positions"].nbytes
            for name, average in self._averages.items()
        ]
        kept = _KEPT * sum(value.nbytes for value in p.values())
        return Stored(float(sum(frames) + _COPIES * (max(frames) + kept)), 0, "sampled frames")

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

        def see(sample: Sample) -> _Observed:
            return control.settle(cutoff, lambda plan: average.observed(plan, p, base, sample))

        observed = None
        label = "" if problem.name == "default" else f"{problem.name}: "
        if ensemble is not None:
            observed = see(ensemble.sample)
            effective, frames = average.effective(observed, ensemble)
            if not effective >= self._min_effective * frames:
                say(
                    f"{label}at these parameters the weights leave {effective:.3g} of {frames} frames, less than "
                    f"{self._min_effective:g} of them: sampling {problem.steps} steps more"
                )
                observed = None
        if ensemble is None or observed is None:
            last = None if ensemble is None else ensemble.sample
            sample = average.sampler.sample(ready, p, last, say, progress)
            observed = see(sample)
            ensemble = Ensemble(sample, np.asarray(observed.energies))
            self._ensembles[problem.name] = ensemble
        else:
            progress(problem.steps)
        return average.part(control.plan, p, base, ensemble, observed)


class _Average:
    """The compiled functions of one problem."""

    def __init__(self, problem: Problem) -> None:
        self.sampler = Sampler(problem)
        self._problem = problem
        self._choice = self.sampler.choice
        self._influence = Influence(problem.terms, self._choice, problem.weight)
        self._molecules = molecules(problem.dynamics.forcefield)
        atoms = problem.dynamics.system.size
        most = max(1, min(_MOST, _PAIRS // (atoms * min(atoms, _NEIGHBORS))))
        self._arranged = Arrangement.create(len(self.sampler.steps), most, _KEPT)
        self._cache = problem.programs.scope("reweight")

    def observed(self, plan: NeighborPlan, p: P, base: Values, sample: Sample) -> tuple[_Observed, Opening]:
        """The sample's energies and observables at `p`, and what tells whether a list missed a pair."""

        def look(p: P, base: Values, chunks: Float[Array, "chunks stretches stretch atoms 3"]) -> Any:
            # Values, lists and all are made a chunk at a time.
            look = jax.vmap(lambda held: self._stretch(p, base, plan, held))
            (energies, rows), openings = lax.map(look, chunks)
            opening = Opening(jnp.max(openings.needed, (0, 1, 2)), jnp.min(openings.reach))
            places = self._arranged.places
            flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[3:])[places], (energies, rows))
            return flat, opening

        (energies, rows), opening = self._once(("seen", plan), look)(dict(p), base, self._chunks(sample))
        return _Observed(energies, list(rows)), opening

    def effective(self, observed: _Observed, ensemble: Ensemble) -> tuple[float, int]:
        """n_eff and the number of frames, of the term whose weights are the most uneven."""
        energies = np.asarray(observed.energies)
        found = [
            (effective_samples(energies[own], ensemble.energies[own]), len(own))
            for own in (np.asarray(places) for places in self._choice)
        ]
        return min(found, key=lambda one: one[0] / one[1])

    def loss(self, ensemble: Ensemble, observed: _Observed) -> float:
        """The sum of the terms."""
        means = self._once("means", self._influence.means)(
            observed.energies, observed.rows, jnp.asarray(ensemble.energies)
        )
        return float(np.sum(self._once("terms", self._influence.terms)(means, observed.rows)))

    def part(self, plan: NeighborPlan, p: P, base: Values, ensemble: Ensemble, observed: _Observed) -> _Part:
        """Loss and gradient."""
        influence = self._influence
        given = (observed.energies, observed.rows, jnp.asarray(ensemble.energies))
        moved = self._once("moved", influence.moved)(*given)
        away, counted, pulled, shifted = (
            self._points(self._arranged.sums(np.asarray(each, float)))
            for each in (moved.moved, moved.counted, moved.pulled, moved.energies)
        )
        type_ = moved.means.dtype
        over = jnp.asarray(scatter(away, counted), type_)
        curved = self._once("curvature", influence.curvature)(
            moved.means, observed.rows, jnp.asarray(away, type_), over
        )
        factors, along = combinations(np.asarray(curved, float), away)
        pulls = self._once("pulls", influence.pulls)(*given, jnp.asarray(along, type_))
        arguments = (dict(p), base, self._chunks(ensemble.sample), jax.tree.map(self._spread, pulls))
        own, whole = self._once(("pull", plan), lambda *given: self._pull(plan, *given))(*arguments)
        gradients, on_it = {}, {}
        for path in p:
            each = np.asarray(own[path], float)
            each = self._points(each.reshape(-1, *each.shape[2:])[: self._arranged.stretches])
            gradients[path] = np.asarray(each.sum(axis=(0, 1)), p[path].dtype)
            on_it[path] = influences(each, np.asarray(whole[path], float), counted, influence.by_group(pulled), factors)
        errors = {path: error(each) for path, each in on_it.items()}
        known = {path: each for path, each in errors.items() if each is not None}
        names = [f"what {term.name} measures" for term in self._problem.terms]
        series = {"the potential energy": shifted[:, 0], **dict(zip(names, pulled.T, strict=True))}
        enough = len(known) == len(p) and all(len(own) >= LEAST for own in self._choice)
        return _Part(
            np.asarray(self._once("terms", influence.terms)(moved.means, observed.rows)),
            gradients,
            known if enough else None,
            np.array([part.mean() for part in np.array_split(self.sampler.steps, min(STRETCHES, len(counted)))]),
            by_stretch(gradients, on_it),
            judged(*self.effective(observed, ensemble), series, on_it, self._still(p, base, ensemble.sample)),
        )

    def _points(self, stretches: Float[np.ndarray, "stretches *shape"]) -> Float[np.ndarray, "points *shape"]:
        """Sums over so many stretches that every term has a frame among those of each."""
        together = -(-self._influence.apart // self._arranged.stretch)
        return np.asarray(np.add.reduceat(stretches, np.arange(0, len(stretches), together), axis=0))

    def _still(self, p: P, base: Values, sample: Sample) -> str | None:
        box = self._problem.box(self._problem.values(p, base))
        return still(sample.frames, self._molecules, float(volume(box))) if box.periodic else None

    def _stretch(self, p: P, base: Values, plan: NeighborPlan, held: Float[Array, "stretch atoms 3"]) -> Any:
        """(beta U, observables) of some frames, and what tells whether their lists missed a pair."""
        dynamics, terms = self._problem.dynamics, self._problem.terms

        def one(held: Float[Array, "atoms 3"]) -> Any:
            values = self._problem.values(p, {**base, "system.positions": held})
            x, box = values["system.positions"], self._problem.box(values)
            still, vectors = lax.stop_gradient((x, box))
            neighbors = dynamics.forcefield.neighbors(plan, still, vectors)
            # What claims to read no velocities, and does, gives nan, which is seen.
            state = State(x, jnp.full_like(x, jnp.nan), jnp.zeros_like(x), box, jnp.asarray(0))
            frame = dynamics.frame(values, state, neighbors)
            kt = dynamics.system.units.boltzmann * values["dynamics.integrator.temperature"]
            rows = [jnp.asarray(term.observable.measure(frame)) for term in terms]
            reach = jnp.min(widths(vectors)) / 2 if box.periodic else jnp.asarray(jnp.inf)
            return (frame.potential_energy() / kt, rows), Opening(neighbors.needed, reach)

        return jax.vmap(one)(held)

    def _pull(self, plan: NeighborPlan, p: P, base: Values, chunks: Array, pulls: tuple[Any, Any]) -> Any:
        """Changes of frames pulled back to the parameters: stretch by stretch those that are each group's, and as a
        whole the others."""

        def stretch(held: Array, own: Any, others: Any) -> tuple[Any, Any]:
            _, vjp, _ = jax.vjp(lambda q: self._stretch(q, base, plan, held), p, has_aux=True)
            return jax.vmap(vjp)(own)[0], jax.vmap(vjp)(others)[0]

        def add(total: Any, given: Any) -> tuple[Any, Any]:
            own, others = jax.vmap(stretch)(*given)
            return jax.tree.map(lambda sum_, new: sum_ + jnp.sum(new, axis=0), total, others), own

        count = len(jax.tree.leaves(pulls[1])[0][0][0])
        start = jax.tree.map(lambda x: jnp.zeros((count, *x.shape), x.dtype), p)
        others, own = lax.scan(add, start, (chunks, *pulls))
        return own, others

    def _spread(
        self, pulls: Float[Array, "pulls frames *shape"]
    ) -> Float[Array, "chunks stretches pulls stretch *shape"]:
        """Changes of frames in chunks; zero for those that only fill up."""
        real = self._arranged.real.reshape(*self._arranged.real.shape, *[1] * (pulls.ndim - 2))
        return jnp.moveaxis(jnp.where(real, pulls[:, self._arranged.order], 0), 0, 2)

    def _chunks(self, sample: Sample) -> Float[Array, "chunks stretches stretch atoms 3"]:
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
        doc="Fresh sampling where the weights w leave less than this fraction of the frames: exp(-sum w ln w) of them.",
        gt=0,
        le=1,
    )

    def adjoint(self, objective: Objective, resources: Resources) -> Adjoint:
        """See `MethodSpec`."""
        return Reweight(objective, self.min_effective)

    def problems(self, settings: Sequence[Setting]) -> Iterator[ConfigError]:
        """Whatever has no equilibrium average over configurations, or does not change one."""
        for setting in settings:
            yield from refusals(setting)
        # Parameters are shared by all systems.
        yield from ineffective(settings[0].parameters if settings else ())
