"""Films: frames, sizes, and what is drawn where."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from support.runs import lattice, write_trajectory

from diffmd.io.trajectory import read_trajectory
from diffmd.plots.animation import Film, Take, animate_trajectories
from diffmd.plots.camera import aim, sticks
from diffmd.plots.distances import minimum_image


def test_the_camera_shows_everything():
    box = np.array([[3.0, 0, 0], [1.0, 3, 0], [0.4, -0.5, 3]])
    positions = np.random.default_rng(0).random((4, 20, 3)) @ box
    camera = aim(positions, box, 0.1, 300)
    np.testing.assert_allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(camera.rotation) == pytest.approx(1)
    pixels, depth = camera.project(positions.reshape(-1, 3))
    assert np.all((pixels > 0) & (pixels < np.asarray(camera.size)))
    assert np.all((depth >= 0) & (depth <= 1))
    # z points up on the screen, x to the right.
    for axis, (row, sign) in {2: (1, -1), 0: (0, 1)}.items():
        moved, _ = camera.project(positions[0] + 0.1 * np.eye(3)[axis])
        assert np.all(sign * (moved - camera.project(positions[0])[0])[:, row] > 0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_atoms_in_a_plane_are_looked_at_straight(axis):
    positions = np.random.default_rng(0).random((4, 20, 3))
    positions[..., axis] = 0.5
    camera = aim(positions, np.eye(3), 0.05, 300)
    assert np.count_nonzero(camera.rotation) == 3
    assert abs(camera.rotation[2, axis]) == 1


def test_few_atoms_in_a_large_box_fill_the_picture():
    positions = 2.5 + 0.2 * np.random.default_rng(0).random((4, 3, 3))
    whole_box = 300 / (5 * 1.9)
    assert aim(positions, np.eye(3) * 5, 0.1, 300).scale > 5 * whole_box


def test_bonds_do_not_cross_the_box():
    box = np.eye(3) * 3
    positions = np.array([[0.1, 1, 1], [2.9, 1, 1], [2.4, 1, 1]])
    bonds = np.array([[0, 1], [1, 2]])
    d = minimum_image(positions[bonds[:, 1]] - positions[bonds[:, 0]], box)
    pieces = sticks(positions, bonds, d, np.zeros(3, int))
    np.testing.assert_allclose(pieces.starts, positions[[0, 1, 1]])
    np.testing.assert_allclose(pieces.ends[:, 0], [0.0, 2.4, 3.0], atol=1e-12)
    pieces = sticks(positions, bonds, d, np.array([0, 1, 0]))
    np.testing.assert_allclose(pieces.starts, positions[pieces.owners])
    np.testing.assert_allclose(pieces.ends[:, 0], [0.0, 2.65, 3.0, 2.65], atol=1e-12)


def test_gif_has_the_frames_asked_for(tmp_path):
    rng = np.random.default_rng(0)
    x = lattice(2, 1.5) + 0.05 * rng.normal(size=(41, 32, 3))
    write_trajectory(tmp_path / "t.h5md", x, np.eye(3) * 3, types=["A", "B"] * 16, bonds=np.array([[0, 1], [2, 9]]))
    trajectory = read_trajectory(tmp_path / "t.h5md")
    film = Film(max_frames=11, pixels=160)
    paths = animate_trajectories(tmp_path / "plots", [Take("atoms", trajectory, "The simulation")], film)
    assert [path.name for path in paths] == ["atoms.gif", "atoms.csv", "atoms.txt"]
    with Image.open(paths[0]) as image:
        assert image.n_frames == 11
        assert image.convert("RGB").getpixel((1, 1)) == (255, 255, 255)
        colors = np.asarray(image.convert("RGB")).reshape(-1, 3)
    assert len(np.unique(colors, axis=0)) > 20
    rows = paths[1].read_text().splitlines()
    assert rows[0] == "frame,step,time"
    assert [int(row.split(",")[1]) for row in rows[1:]] == list(range(0, 401, 40))
    assert "11 of 41 frames" in paths[2].read_text()


def test_a_large_film_is_made_small(tmp_path):
    x = np.random.default_rng(0).random((120, 400, 3)) * 5
    write_trajectory(tmp_path / "t.h5md", x, np.eye(3) * 5)
    film = Film(max_frames=120)
    take = Take("atoms", read_trajectory(tmp_path / "t.h5md"), "The simulation")
    gif, *_ = animate_trajectories(tmp_path, [take], film)
    assert gif.stat().st_size < 2_000_000
