"""The compiled programs of reverse mode: forward with or without the vjp, and back."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from diffmd.adjoints.base import Choice, Floats
from diffmd.adjoints.propagator import Propagator
from diffmd.adjoints.replicas.own_losses import own_factors, own_losses, reduced_observables
from diffmd.dynamics.run.probes import PROBES
from diffmd.dynamics.run.shape import Shape
from diffmd.objective import P
from diffmd.system import Values


class Programs:
    """The jitted functions of one propagator, made when first asked for."""

    def __init__(self, propagator: Propagator) -> None:
        self._propagator = propagator
        self._cache = propagator.programs("reverse")

    def _once(self, name: Any, make: Any) -> Any:
        return self._cache.once(name, make)

    def temporary(self) -> int:
        """Bytes of the largest program's buffers."""
        return self._cache.temporary()

    def start(self, plan: Any) -> Any:
        """(p, base) -> (floats, step, vjp), opening."""

        def start(p: P, base: Values) -> Any:
            def first(q: P) -> Any:
                floats, step, opening = self._propagator.opened(q, base, plan)
                return floats, (step, opening)

            floats, vjp, (step, opening) = jax.vjp(first, p, has_aux=True)
            return (floats, step, vjp), opening

        return self._once(("start", plan), start)

    def measure(self, plan: Any) -> Any:
        """(p, base, floats, step) -> rows of step 0, vjp."""

        def measure(p: P, base: Values, floats: Floats, step: Array) -> Any:
            return jax.vjp(lambda q, f: self._propagator.measure(q, base, plan, f, step), p, floats)

        return self._once(("measure", plan), measure)

    def _differentiable(self, shape: Shape, base: Values, key: Array, step: Array) -> Any:
        def segment(p: P, floats: Floats, probes: Array | None) -> Any:
            after, done, rows, report = self._propagator.advance(p, base, key, shape, floats, step, probes)
            return (after, rows), (done, report)

        return segment

    def forward(self, shape: Shape) -> Any:
        """(p, base, key, floats, step) -> floats, step, rows, report, vjp."""

        def forward(p: P, base: Values, key: Array, floats: Floats, step: Array) -> Any:
            probes = jnp.zeros((len(shape.stretches), PROBES), floats[0].dtype)
            segment = self._differentiable(shape, base, key, step)
            (floats, rows), vjp, (step, report) = jax.vjp(segment, p, floats, probes, has_aux=True)
            return floats, step, rows, report, vjp

        return self._once(("forward", shape), forward)

    def run(self, shape: Shape) -> Any:
        """As `forward`, without the vjp."""

        def run(p: P, base: Values, key: Array, floats: Floats, step: Array) -> Any:
            (floats, rows), (step, report) = self._differentiable(shape, base, key, step)(p, floats, None)
            return floats, step, rows, report, None

        return self._once(("run", shape), run)

    def backward(self, shape: Shape) -> Any:
        """(vjp, cotangent of floats, of rows, running total) -> total, cotangent of floats, probes."""

        def backward(vjp: Any, ct: Floats, rows: Any, total: Any) -> Any:
            dp, dfloats, probes = vjp((ct, rows))
            return jax.tree.map(jnp.add, total, dict(dp)), dfloats, probes

        return self._once(("backward", shape), backward)

    def prepare(self, shape: Shape, p: P, base: Values, key: Array, floats: Any, step: Any) -> None:
        """Starts to compile a segment's programs, on and back, one beside the other, from arrays or their shapes."""
        forward, backward = self.forward(shape), self.backward(shape)
        if not (forward.begun or backward.begun):
            forward.prepare(p, base, key, floats, step)
            _, _, rows, _, vjp = forward.outputs(p, base, key, floats, step)
            backward.prepare(vjp, floats, rows, p)

    def rerun(self, shape: Shape) -> Any:
        """As `backward`, from the segment's start instead of its vjp."""

        def rerun(
            p: P, base: Values, key: Array, floats: Floats, step: Array, ct: Floats, rows: Any, total: Any
        ) -> Any:
            probes = jnp.zeros((len(shape.stretches), PROBES), floats[0].dtype)
            segment = self._differentiable(shape, base, key, step)
            _, vjp, _ = jax.vjp(segment, p, floats, probes, has_aux=True)
            dp, dfloats, probes = vjp((ct, rows))
            return jax.tree.map(jnp.add, total, dict(dp)), dfloats, probes

        return self._once(("rerun", shape), rerun)

    def finish(self, choice: Choice) -> Any:
        """(pieces, factors) -> loss, terms, cotangents of the pieces."""

        def finished(pieces: Any, factors: Array | None) -> Any:
            loss, vjp, terms = jax.vjp(lambda q: self._propagator.finish(choice, q, factors), pieces, has_aux=True)
            return loss, terms, vjp(jnp.ones_like(loss))[0]

        return self._once(("finish", choice), finished)

    def own(self, choice: Choice) -> Any:
        """(pieces of replicas whose observables are averaged) -> factors that turn their shares of the gradient into
        those of their own losses (None: there are none), cotangents of the pieces that give these shares."""

        def own(pieces: Any) -> Any:
            problem = self._propagator.problem
            about = reduced_observables(problem, choice, pieces)

            def mean(q: Any) -> Array:
                return jnp.mean(own_losses(problem, "observable", reduced_observables(problem, choice, q), about))

            loss, vjp = jax.vjp(mean, pieces)
            return own_factors(problem, about), vjp(jnp.ones_like(loss))[0]

        return self._once(("own", choice), own)

    def pull_measure(self, vjp: Any, rows: Any, ct: Floats, total: Any) -> Any:
        """Adds what step 0's measurement depends on."""

        def pull(vjp: Any, rows: Any, ct: Floats, total: Any) -> Any:
            dp, dfloats = vjp(rows)
            return jax.tree.map(jnp.add, total, dict(dp)), jax.tree.map(jnp.add, ct, dfloats)

        return self._once("pull_measure", pull)(vjp, rows, ct, total)

    def pull_start(self, vjp: Any, ct: Floats, total: Any) -> Any:
        """Adds what the first state depends on."""
        return self._once("pull_start", lambda v, c, t: jax.tree.map(jnp.add, t, dict(v(c)[0])))(vjp, ct, total)
