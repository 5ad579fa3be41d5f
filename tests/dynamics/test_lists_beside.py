"""Neighbour lists of systems that run side by side."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from diffmd.adjoints.reversible.rolling import Lists
from diffmd.box import Box
from diffmd.neighbors import plan


def test_all_of_them_are_built_when_one_has_to_be(double):
    box = Box(jnp.eye(3) * 8.0, "orthorhombic")
    x = np.random.default_rng(1).uniform(0, 8, (2, 60, 3))
    lists = Lists(plan("cell_list", x[0], box, 1.5, 0.4, np.zeros((0, 2), int)), box, np.zeros((0, 2), int), "beside")
    kept = jax.jit(jax.vmap(lists.kept, axis_name="beside"))
    first = kept(jax.vmap(lists.before)(x), x)
    np.testing.assert_array_equal(first.reference, x)
    near, far = x + 0.01, x + 0.01
    far[1, 7] += 0.3
    np.testing.assert_array_equal(kept(first, near).reference, x)
    np.testing.assert_array_equal(kept(first, far).reference, far)
    # Each by itself would make a choice for every system, which is to build always.
    assert " cond[" in str(jax.make_jaxpr(jax.vmap(lists.kept, axis_name="beside"))(first, near))
