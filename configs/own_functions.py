"""A pair potential and an observable of one's own, for own_functions.yaml: plain JAX, differentiated by diffmd."""

import jax.numpy as jnp

from diffmd.box import volume
from diffmd.neighbors import neighbor_displacements


def energy(positions, box, neighbors, types, parameters):
    """Sum over pairs of height exp(-(r / size)^2) (1 - (r / cutoff)^2)^2, which goes smoothly to zero at the cutoff."""
    d, _, pairs = neighbor_displacements(neighbors, positions, box)
    # Places that are no pair, and pairs beyond the cutoff, must not reach the exponential: mask first.
    r2 = jnp.sum(d**2, axis=-1)
    near = pairs & (r2 < parameters["cutoff"] ** 2)
    r2 = jnp.where(near, r2, 0)
    u = parameters["height"] * jnp.exp(-r2 / parameters["size"] ** 2) * (1 - r2 / parameters["cutoff"] ** 2) ** 2
    # Every pair stands in the rows of both its atoms.
    return jnp.sum(jnp.where(near, u, 0)) / 2


def crowding(frame, types, parameters):
    """How many others an atom has within a distance, over how many an ideal gas would have there: 1 of no structure.

    The edge is soft, a logistic step of a width, so that the count has a derivative. The distance and a few widths must
    lie within the longest cutoff of the potentials, up to which the neighbor list is complete.
    """
    d, _, pairs = neighbor_displacements(frame.neighbors, frame.positions, frame.box)
    r = jnp.sqrt(jnp.where(pairs, jnp.sum(d**2, axis=-1), 1))
    distance, width = parameters["distance"], parameters["width"]
    inside = jnp.where(pairs, 1 / (1 + jnp.exp((r - distance) / width)), 0)
    count = len(frame.positions)
    # The volume under the soft step: 4 pi / 3 times distance^3 + pi^2 width^2 distance.
    sphere = 4 * jnp.pi / 3 * (distance**3 + (jnp.pi * width) ** 2 * distance)
    return jnp.sum(inside) / count / ((count - 1) / volume(frame.box) * sphere)
