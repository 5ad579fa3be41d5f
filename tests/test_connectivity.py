"""Molecules made whole along their bonds, in boxes of every shape; endless ones left as they are."""

import numpy as np
import pytest

from diffmd.connectivity import among, made_whole, molecules_of

CUBE = np.diag([4.0, 5.0, 6.0])
TRICLINIC = np.array([[4.0, 0, 0], [1.9, 4.0, 0], [-1.9, 1.8, 4.0]])
CHAIN = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [5, 6]])


def walk(seed: int) -> np.ndarray:
    """A chain of five atoms and one of two, of bonds of length 0.9."""
    steps = np.random.default_rng(seed).normal(size=(7, 3))
    steps *= 0.9 / np.linalg.norm(steps, axis=1, keepdims=True)
    return np.concatenate([np.cumsum(steps[:5], axis=0), np.cumsum(steps[5:], axis=0)]) + 1.5


def wrapped(x: np.ndarray, h: np.ndarray) -> np.ndarray:
    s = x @ np.linalg.inv(h)
    return (s - np.floor(s)) @ h


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("h", [CUBE, TRICLINIC], ids=["cube", "triclinic"])
@pytest.mark.parametrize("order", [1, -1])
def test_torn_molecules_become_whole(seed, h, order):
    x = walk(seed)
    torn = wrapped(x, h)
    bonds = CHAIN[::order, ::order]
    found = made_whole(torn, bonds, h)
    assert not found.endless.any()
    for first, last in ((0, 5), (5, 7)):
        # The first atom stays, so what is whole differs from what was by one vector.
        assert np.array_equal(found.positions[first], torn[first])
        shifts = found.positions[first:last] - x[first:last]
        np.testing.assert_allclose(shifts, np.broadcast_to(shifts[0], shifts.shape), atol=1e-12)
    assert np.array_equal(made_whole(found.positions, bonds, h).positions, found.positions)


def test_what_is_whole_keeps_every_bit():
    x = walk(3) + 1e6 / 3
    assert made_whole(x, CHAIN, CUBE).positions is x
    assert made_whole(x, np.zeros((0, 2), int), CUBE).positions is x
    assert made_whole(x, CHAIN, None).positions is x
    # Of two molecules the whole one is not touched.
    torn = x.copy()
    torn[6] += CUBE[1]
    assert np.array_equal(made_whole(torn, CHAIN, CUBE).positions[:6], x[:6])


def test_a_bond_many_boxes_long_is_closed():
    x = np.array([[0.0, 0, 0], [12.5, -10.0, 6.0]])
    np.testing.assert_allclose(made_whole(x, np.array([[0, 1]]), CUBE).positions[1], [0.5, 0, 0], atol=1e-12)


def test_endless_chains_and_networks_are_told_and_left():
    """A ring of atoms around the box, with a molecule of two beside it that is torn."""
    ring = np.stack([np.arange(4.0), np.zeros(4), np.zeros(4)], axis=1)
    x = np.concatenate([ring, [[0.2, 2, 2], [3.8, 2, 2]]])
    bonds = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [4, 5]])
    found = made_whole(x, bonds, CUBE)
    assert found.endless.tolist() == [True] * 4 + [False] * 2
    assert np.array_equal(found.positions[:4], ring)
    np.testing.assert_allclose(found.positions[5], [-0.2, 2, 2])
    # The same ring, drawn up small, closes on itself.
    small = np.array([[0.0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0], [0, 0.5, 0], [0.2, 2, 2], [0.4, 2, 2]])
    assert not made_whole(small - 0.25, bonds, CUBE).endless.any()
    assert not made_whole(wrapped(small - 0.25, CUBE), bonds, CUBE).endless.any()


def test_molecules_are_what_bonds_join():
    molecule = molecules_of(CHAIN, 9)
    assert len(set(molecule[:5])) == 1
    assert molecule[5] == molecule[6]
    assert len(set(molecule)) == 4


def test_bonds_among_selected_atoms_have_their_places():
    assert among(CHAIN, np.array([4, 2, 3, 6])).tolist() == [[1, 2], [2, 0]]
    assert among(CHAIN, np.array([0, 2])).shape == (0, 2)
