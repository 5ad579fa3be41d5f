"""The first guess of how long lists last."""

from __future__ import annotations

import numpy as np
import pytest

from diffmd.dynamics.run.list_lifetime import first_block, likely_speed


def test_a_block_is_as_long_as_the_fastest_atom_allows():
    assert first_block(0.4, 2.0, 0.01) == 10
    assert first_block(0.4, 2.3, 0.01) == 8
    assert first_block(0.4, 1e9, 0.01) == 1
    # Nothing moves yet, which is no promise.
    assert first_block(0.2, 0.0, 0.01) == 20


@pytest.mark.parametrize("size", [50, 4000])
def test_the_fastest_of_many_draws_is_what_was_expected(size):
    rng = np.random.default_rng(size)
    masses = np.full(size, 2.0)
    v = rng.normal(0, np.sqrt(1.5 / 2.0), (40, size, 3))
    expected = likely_speed(np.zeros((size, 3)), masses, 1.5)
    # Of the fastest of ten draws each, half are slower.
    fastest = np.linalg.norm(v, axis=-1).reshape(4, -1).max(axis=1)
    np.testing.assert_allclose(expected, fastest, rtol=0.12)
    # Their own temperature tells as much, but for its scatter.
    np.testing.assert_allclose(likely_speed(v[0], masses, None), expected, rtol=0.1)


def test_what_is_known_is_not_forgotten():
    v = np.zeros((2, 10, 3))
    v[1, 4, 2] = 100.0
    # Of replicas, the fastest atom of any.
    assert likely_speed(v, np.ones(10), 0.1) >= 100
    assert likely_speed(np.zeros((10, 3)), np.ones(10), None) == 0
    # The lightest are the fastest.
    light = np.where(np.arange(10) == 3, 0.01, 1.0)
    np.testing.assert_allclose(
        likely_speed(np.zeros((10, 3)), light, 1.0), 10 * likely_speed(np.zeros((10, 3)), np.ones(10), 1.0)
    )
