"""Where atoms start: what is promised about distances, counts and boxes holds, and the impossible is refused."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from diffmd.config.packing import close_pairs
from diffmd.config.positions import PositionsSpec, draw_positions, lattice_box
from diffmd.errors import ConfigError
from diffmd.units import MD, REDUCED

SPEC: TypeAdapter[Any] = TypeAdapter(PositionsSpec)
TRICLINIC = np.array([[3.0, 0, 0], [1.5, 3.0, 0], [-1.5, 1.5, 3.0]])


def draw(spec: dict[str, Any], count: int, box: Any = 3.0, seed: int = 1, folder: Path = Path()) -> np.ndarray:
    """Positions in a cubic box of this edge, a box of these vectors, or none."""
    vectors = None if box is None else np.asarray(box, float) * (np.eye(3) if np.ndim(box) == 0 else 1)
    shape = "none" if box is None else "orthorhombic" if np.ndim(box) == 0 else "triclinic"
    return draw_positions(
        SPEC.validate_python(spec), count=count, box_vectors=vectors, box_shape=shape, seed=seed, folder=folder,
        units=REDUCED,
    )  # fmt: skip


def nearest(x: np.ndarray, box: np.ndarray) -> float:
    """Smallest distance of two different atoms, over 125 images."""
    shifts = np.stack(np.meshgrid(*[range(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) @ box
    d = np.linalg.norm(x[:, None, None] - x[None, :, None] + shifts, axis=-1).min(axis=2)
    return d[~np.eye(len(x), dtype=bool)].min()


@pytest.mark.parametrize("seed", range(10))
def test_fifty_atoms_at_a_minimum_distance(seed: int) -> None:
    start = time.perf_counter()
    x = draw({"kind": "random", "min_distance": 0.7}, 50, seed=seed)
    assert time.perf_counter() - start < 1
    assert x.shape == (50, 3)
    assert nearest(x, 3 * np.eye(3)) >= 0.7
    np.testing.assert_array_equal(x, draw({"kind": "random", "min_distance": 0.7}, 50, seed=seed))
    assert np.any(x != draw({"kind": "random", "min_distance": 0.7}, 50, seed=seed + 1))


@pytest.mark.parametrize(("distance", "box"), [(0.83, 3.0), (0.8, TRICLINIC), (0.6, TRICLINIC)])
def test_beyond_what_insertion_alone_can_do(distance: float, box: Any) -> None:
    x = draw({"kind": "random", "min_distance": distance}, 50, box)
    assert nearest(x, np.asarray(box) * (np.eye(3) if np.ndim(box) == 0 else 1)) >= distance


def test_random_without_a_box() -> None:
    x = draw({"kind": "random", "min_distance": 1.5}, 40, None)
    assert nearest(x, 1000 * np.eye(3)) >= 1.5
    assert np.abs(x).max() < 7
    with pytest.raises(ConfigError, match="no box"):
        draw({"kind": "random", "min_distance": 0.0}, 40, None)


@pytest.mark.parametrize(("distance", "said"), [(2.0, "densest"), (0.9, "none was found")])
def test_an_impossible_packing_is_refused(distance: float, said: str) -> None:
    start = time.perf_counter()
    with pytest.raises(ConfigError, match=said) as caught:
        draw({"kind": "random", "min_distance": distance}, 50)
    assert time.perf_counter() - start < (0.1 if distance == 2.0 else 20)
    assert caught.value.path == "system.positions.min_distance"
    assert "Write at most 0.77" in str(caught.value)


def test_close_pairs_sees_images() -> None:
    x = np.array([[0.1, 0.1, 0.1], [2.9, 2.9, 0.1], [1.5, 1.5, 1.5]])
    i, j, d = close_pairs(x, 3 * np.eye(3), 0.5)
    assert (i.tolist(), j.tolist()) == ([0], [1])
    np.testing.assert_allclose(d, [[0.2, 0.2, 0]], atol=1e-12)


@pytest.mark.parametrize(
    ("lattice", "count", "neighbours", "distance"),
    [("sc", 27, 6, 1.0), ("bcc", 54, 8, 3**0.5 / 2), ("fcc", 108, 12, 0.5**0.5), ("diamond", 216, 4, 3**0.5 / 4)],
)
def test_lattices_have_their_neighbours(lattice: str, count: int, neighbours: int, distance: float) -> None:
    x = draw({"kind": "lattice", "lattice": lattice}, count)
    assert len(close_pairs(x, 3 * np.eye(3), distance * 0.99)[0]) == 0
    assert len(close_pairs(x, 3 * np.eye(3), distance * 1.01)[0]) == count * neighbours / 2
    assert x.min() >= 0
    assert x.max() < 3


def test_a_lattice_makes_its_box_from_a_density() -> None:
    spec = SPEC.validate_python({"kind": "lattice", "lattice": "fcc", "density": 0.8442})
    edges = lattice_box(spec, 500)
    np.testing.assert_allclose(500 / np.prod(edges), 0.8442)
    x = draw(spec.model_dump(), 500, edges[0])
    distance = edges[0] / 5 / np.sqrt(2)
    assert [len(close_pairs(x, np.diag(edges), f * distance)[0]) for f in (0.99, 1.01)] == [0, 3000]
    with pytest.raises(ConfigError, match=r"is 0\.8442, but 500 atoms in this box make 0\.5"):
        draw(spec.model_dump(), 500, 10.0)
    with pytest.raises(ConfigError, match=r"density.*is needed"):
        draw({"kind": "lattice", "lattice": "fcc"}, 500, None)


def test_a_lattice_with_empty_sites_spreads_them() -> None:
    x = draw({"kind": "lattice", "lattice": "sc"}, 25)
    assert len(np.unique(x, axis=0)) == 25
    assert nearest(x, 3 * np.eye(3)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("count", "bond", "box"), [(1, 1.0, 3.0), (3, 1.0, 3.0), (100, 0.3, 3.0), (60, 0.3, TRICLINIC), (40, 1.0, None)]
)
def test_a_chain_is_bonded_and_keeps_apart(count: int, bond: float, box: Any) -> None:
    x = draw({"kind": "chain", "bond_length": bond}, count, box)
    np.testing.assert_allclose(np.linalg.norm(np.diff(x, axis=0), axis=1), bond, rtol=1e-12)
    vectors = 1000 * np.eye(3) if box is None else np.asarray(box) * (np.eye(3) if np.ndim(box) == 0 else 1)
    i, j, _ = close_pairs(x, vectors, 1.05 * bond)
    assert np.all(j - i == 1)
    assert len(i) == count - 1


def test_a_chain_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="does not fit the box") as caught:
        draw({"kind": "chain", "bond_length": 1.0}, 50)
    assert caught.value.path == "system.positions.bond_length"


def test_inline_and_files(tmp_path: Path) -> None:
    np.testing.assert_array_equal(draw({"kind": "inline", "values": [[1.0, 2, 3], [4, 5, 60]]}, 2)[1], [4, 5, 60])
    with pytest.raises(ConfigError, match=r"has 1 atoms, but the system has 2"):
        draw({"kind": "inline", "values": [[1.0, 2.0, 3.0]]}, 2)
    (tmp_path / "two.xyz").write_text("2\n\nA 0 0 0\nB 1 2 3\n")
    np.testing.assert_array_equal(draw({"kind": "file", "path": "two.xyz"}, 2, folder=tmp_path)[1], [1, 2, 3])
    spec = SPEC.validate_python({"kind": "file", "path": "two.xyz"})
    x = draw_positions(
        spec, count=2, box_vectors=None, box_shape="none", seed=0, folder=tmp_path, units=MD
    )  # fmt: skip
    np.testing.assert_allclose(x[1], [0.1, 0.2, 0.3])
    with pytest.raises(ConfigError, match="no such file") as caught:
        draw({"kind": "file", "path": "three.xyz"}, 2, folder=tmp_path)
    assert caught.value.path == "system.positions.path"


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "lattice", "lattice": "hcp"},
        {"kind": "random"},
        {"kind": "random", "min_distance": -1.0},
        {"kind": "inline", "values": [[1.0, 2.0]]},
        {"kind": "chain", "bond_length": 0.0},
        {"kind": "nowhere"},
    ],
)
def test_bad_specs_are_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SPEC.validate_python(spec)
