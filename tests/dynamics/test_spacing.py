"""The nearest other atom of each, against every pair and image."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from diffmd.dynamics.spacing import nearest_atoms

BOXES = {
    "none": np.eye(3),
    "orthorhombic": np.diag([2.0, 3.0, 7.0]),
    "triclinic": np.array([[3.0, 0, 0], [1.4, 2.5, 0], [-1.2, 0.9, 4.0]]),
}


@pytest.mark.parametrize(("shape", "count"), [*itertools.product(BOXES, (2, 3, 40)), ("none", 200)])
def test_against_every_image(shape, count):
    h = BOXES[shape]
    x = np.random.default_rng(count).uniform(-9, 9, (count, 3))
    shifts = np.array(list(itertools.product(range(-9, 10), repeat=3))) if shape != "none" else np.zeros((1, 3))
    d = np.linalg.norm((x[:, None] - x[None])[:, :, None] + shifts @ h, axis=-1)
    d[np.arange(count), np.arange(count)] = np.inf
    distance, other = nearest_atoms(x, h, shape)
    np.testing.assert_allclose(distance, d.min(axis=(1, 2)))
    assert np.array_equal(other, d.min(axis=2).argmin(axis=1))


def test_an_atom_alone_has_none():
    assert nearest_atoms(np.zeros((1, 3)), np.eye(3) * 4, "orthorhombic")[0].tolist() == [np.inf]


def test_atoms_on_top_of_each_other():
    distance, other = nearest_atoms(np.array([[0.0, 0, 0], [3, 0, 0], [1, 0, 0]]), np.eye(3) * 3, "orthorhombic")
    assert distance.tolist() == [0, 0, 1]
    assert other[:2].tolist() == [1, 0]
