"""jax-md's part of benchmarks/peers.py: its Lennard-Jones energy and neighbor lists, and `simulate.nve`.

    python run_jax_md.py FOLDER double|single

Its energy goes smoothly to zero from 0.8 of the cutoff on. All pairs for few atoms, else neighbor lists with the skin
of the others, looked at in each step, of the format OrderedSparse: its default, and quicker than Dense on a CPU.
Velocities of the fluid are rescaled in each step as diffmd does. The gradient is that of the last energy with respect
to sigma and epsilon, each step run again on the way back (`jax.checkpoint`), without which the larger liquids take more
memory than most machines have; there is none of the largest.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from answering import answered
from jax_md import energy, partition, simulate, space

FEW = 150
"""Up to so many atoms all pairs."""
MOST = 1_000_000
"""Up to so many atoms times steps there is a gradient: more take minutes."""


def serve(folder: Path, precision: str) -> None:
    """Answers requests."""
    jax.config.update("jax_enable_x64", precision == "double")
    start = {name: jnp.asarray(value, float) for name, value in np.load(folder / "start.npz").items()}
    steps, temperature = int(start["steps"]), float(start["rescaled_to"])
    mass, sigma, epsilon = (float(start[name]) for name in ("mass", "sigma", "epsilon"))
    box = start["box"]
    x, v = start["positions"] % box, start["velocities"]
    displacement, shift = space.periodic(box)
    reach = float(start["cutoff"]) / sigma
    about = {"sigma": sigma, "epsilon": epsilon, "r_onset": 0.8 * reach, "r_cutoff": reach}
    if len(x) <= FEW:
        pairs = energy.lennard_jones_pair(displacement, **about)

        def potential(x, neighbor, **p):
            return pairs(x, **p)

        lists = None
    else:
        neighbor_fn, listed = energy.lennard_jones_neighbor_list(
            displacement, box, dr_threshold=float(start["skin"]), format=partition.OrderedSparse, **about
        )

        def potential(x, neighbor, **p):
            return listed(x, neighbor=neighbor, **p)

        lists = neighbor_fn.allocate(x)
    freedom = 3 * len(x) - 3

    def kinetic_temperature(momentum):
        return jnp.sum(momentum**2) / mass / freedom

    def run(p, lists):
        init, apply = simulate.nve(potential, shift, float(start["dt"]))
        state = init(jax.random.PRNGKey(0), x, kT=0.0, mass=mass, neighbor=lists, **p)
        state = state.set(momentum=v * mass)

        @jax.checkpoint
        def step(carry, _):
            state, lists = carry
            lists = lists if lists is None else lists.update(jax.lax.stop_gradient(state.position))
            state = apply(state, neighbor=lists, **p)
            if not np.isnan(temperature):
                scale = jnp.sqrt(temperature / kinetic_temperature(state.momentum))
                state = state.set(momentum=state.momentum * scale)
            return (state, lists), None

        (state, lists), _ = jax.lax.scan(step, (state, lists), None, length=steps)
        full = jnp.zeros((), bool) if lists is None else lists.did_buffer_overflow
        return potential(state.position, lists, **p), (kinetic_temperature(state.momentum), full)

    p = {"sigma": jnp.asarray(sigma), "epsilon": jnp.asarray(epsilon)}
    forward = jax.jit(run)
    gradient = jax.jit(jax.value_and_grad(run, has_aux=True))

    def forward_run():
        _, (end, full) = jax.block_until_ready(forward(p, lists))
        assert not full, "a neighbor list overflowed"
        return {"temperature": float(end)}

    def gradient_run():
        (_, (_, full)), found = jax.block_until_ready(gradient(p, lists))
        assert not full, "a neighbor list overflowed"
        return {"gradient": {name: float(value) for name, value in found.items()}}

    works = {"forward": forward_run} | ({"gradient": gradient_run} if len(x) * steps <= MOST else {})
    answered(f"jax-md {version('jax-md')} (jax {jax.__version__}, {precision})", works)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2])
