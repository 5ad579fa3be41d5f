"""RDFs in NumPy, against what is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from support.runs import lattice

from diffmd.plots.distances import minimum_image, radial_distribution, widths

TRICLINIC = np.array([[3.0, 0, 0], [1.4, 2.8, 0], [-1.4, 1.3, 2.6]])


@pytest.mark.parametrize("box", [np.diag([3.0, 4.0, 5.0]), TRICLINIC], ids=["orthorhombic", "triclinic"])
def test_minimum_image_is_the_shortest_of_all_images(box):
    d = np.random.default_rng(0).normal(size=(300, 3)) * 3
    images = np.array(list(itertools.product(range(-8, 9), repeat=3))) @ box
    shortest = np.min(np.linalg.norm(d[:, None] + images, axis=-1), axis=1)
    np.testing.assert_allclose(np.linalg.norm(minimum_image(d, box), axis=-1), shortest, rtol=1e-12)


@pytest.mark.parametrize("box", [np.diag([3.0, 4.0, 5.0]), TRICLINIC], ids=["orthorhombic", "triclinic"])
def test_an_ideal_gas_has_g_of_one(box):
    rng = np.random.default_rng(1)
    first = np.arange(40) < 25
    frames = [(rng.random((40, 3)) @ box, box) for _ in range(400)]
    for a, b in ((np.ones(40, bool),) * 2, (first, first), (first, ~first)):
        found = radial_distribution(frames, a, b, widths(box).min() / 2, 10)
        np.testing.assert_allclose(found.g[2:], 1, atol=0.08)
        assert found.frames == 400


def test_fcc_peaks_stand_where_its_shells_are():
    cells, edge = 3, 1.6
    box = np.eye(3) * cells * edge
    every = np.ones(4 * cells**3, bool)
    found = radial_distribution([(lattice(cells, edge), box)], every, every, cells * edge / 2, 200)
    shells = edge * np.sqrt(np.arange(1, 5) / 2)
    peaks = found.r[found.g > 0]
    width = found.r[1] - found.r[0]
    for shell in shells:
        assert np.min(np.abs(peaks - shell)) <= width / 2 + 1e-9
    # The integral over the first peak is the number of nearest neighbours; the density counts the other atoms.
    first = np.abs(found.r - shells[0]) < width
    density = (len(every) - 1) / np.linalg.det(box)
    volume = 4 / 3 * np.pi * ((found.r + width / 2) ** 3 - (found.r - width / 2) ** 3)
    np.testing.assert_allclose(np.sum((found.g * volume)[first]) * density, 12, rtol=1e-10)


def test_without_a_box_it_is_a_density():
    x = np.random.default_rng(2).normal(size=(20, 3))
    every = np.ones(20, bool)
    found = radial_distribution([(x, None)], every, every, 20.0, 50)
    assert not found.periodic
    np.testing.assert_allclose(found.g.sum() * 0.4, 1, rtol=1e-12)


def test_no_pair_and_no_frame_are_errors():
    one = np.ones(1, bool)
    with pytest.raises(ValueError, match="pair"):
        radial_distribution([(np.zeros((1, 3)), np.eye(3))], one, one, 0.5, 5)
    two = np.ones(2, bool)
    with pytest.raises(ValueError, match="frame"):
        radial_distribution([], two, two, 0.5, 5)
