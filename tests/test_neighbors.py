"""Lists equal a brute-force search, whatever the box; nothing overflows in silence; old lists are found out."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import cKDTree

from diffmd.box import Box
from diffmd.neighbors import AllPairs, NeighborList, NeighborPlan, build, displacement2, grow, plan, planning

NONE = np.zeros((0, 2), np.int64)


@functools.partial(jax.jit, static_argnums=0)
def make(p: NeighborPlan, x: jax.Array, box: Box) -> NeighborList:
    """A list without exclusions, compiled."""
    found = build(p, x, box, NONE)
    assert isinstance(found, NeighborList)
    return found


def random_box(rng: np.random.Generator, kind: str) -> tuple[np.ndarray, str]:
    """Box vectors and shape; triclinic boxes reach the reduced limit (|b_x| = a_x / 2, ...)."""
    edges = rng.uniform(4, 7, 3)
    if kind == "thin":
        edges[rng.integers(3)] = rng.uniform(1.7, 2.2)
    if kind == "few":
        edges = rng.uniform(2.0, 3.0, 3)
    if kind == "none":
        return np.eye(3), "none"
    h = np.diag(edges)
    if kind in ("triclinic", "limit", "few_triclinic"):
        tilt = (lambda: rng.choice([-0.5, 0.5])) if kind != "triclinic" else (lambda: rng.uniform(-0.5, 0.5))
        h[1, 0], h[2, 0], h[2, 1] = tilt() * h[0, 0], tilt() * h[0, 0], tilt() * h[1, 1]
        return h / (2.2 if kind == "few_triclinic" else 1), "triclinic"
    return h, "orthorhombic"


def shortest(x: np.ndarray, h: np.ndarray, shape: str) -> np.ndarray:
    """Distance of the nearest image of every pair (n, n), over 125 images of the wrapped atoms."""
    if shape == "none":
        return np.linalg.norm(x[:, None] - x[None], axis=-1)
    s = x @ np.linalg.inv(h)
    wrapped = (s - np.floor(s)) @ h
    d = wrapped[:, None] - wrapped[None]
    images = (np.asarray(shift) @ h for shift in itertools.product(range(-2, 3), repeat=3))
    return np.min([np.linalg.norm(d + image, axis=-1) for image in images], axis=0)


def half_width(h: np.ndarray) -> float:
    """Half the smallest perpendicular width."""
    return 0.5 / np.linalg.norm(np.linalg.inv(h), axis=0).max()


def pairs(found: NeighborList) -> set[tuple[int, int]]:
    """The ordered pairs of a list; no pair stands twice."""
    rows, places = np.nonzero(np.asarray(found.mask))
    listed = list(zip(rows.tolist(), np.asarray(found.indices)[rows, places].tolist(), strict=True))
    assert len(listed) == len(set(listed))
    return set(listed)


def check(x: np.ndarray, h: np.ndarray, shape: str, cutoff: float, skin: float) -> NeighborPlan:
    """A planned list holds every pair within cutoff + skin and none beyond, up to rounding errors at the edge."""
    box = Box(jnp.asarray(h), shape)  # type: ignore[arg-type]
    p = plan("cell_list", x, box, cutoff, skin, NONE)
    found = make(p, jnp.asarray(x), box)
    assert not p.overflowed(np.asarray(found.needed))
    distance = shortest(x, h, shape)
    blur = 2e-5 * (cutoff + skin) + 20 * np.finfo(x.dtype).eps * (1 + np.abs(x).max())
    listed = pairs(found)
    near = np.argwhere(distance < cutoff + skin - blur)
    assert {(i, j) for i, j in near.tolist() if i != j} <= listed
    # Over 1.5 widths from any image, a triclinic list may hold more than it must.
    if shape != "triclinic" or cutoff + skin <= 2 * half_width(h):
        assert all(distance[i, j] < cutoff + skin + blur for i, j in listed)
    return p


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("kind", ["orthorhombic", "thin", "few", "triclinic", "limit", "few_triclinic", "none"])
def test_equals_brute_force(kind: str, precision: str) -> None:
    with jax.enable_x64(precision == "double"):
        for seed in (0, 1) if precision == "double" else (1,):
            rng = np.random.default_rng([seed, sum(map(ord, kind))])
            h, shape = random_box(rng, kind)
            n = 100
            cutoff = 1.0 if shape == "none" else min(1.0, half_width(h))
            skin = rng.uniform(0.05, 0.4)
            x = rng.uniform(0, 1, (n, 3)) @ h if shape != "none" else rng.normal(0, 2.5, (n, 3))
            far = rng.integers(-30, 31, (n, 3)) @ h if shape != "none" and seed % 2 else 0
            dtype = np.float64 if precision == "double" else np.float32
            assert check((x + far).astype(dtype), h.astype(dtype), shape, cutoff, skin).is_list


def test_equals_a_periodic_tree() -> None:
    rng = np.random.default_rng(5)
    edges = np.array([9.0, 7.5, 11.0])
    x = rng.uniform(0, 1, (900, 3)) * edges
    with jax.enable_x64(True):
        box = Box(jnp.diag(jnp.asarray(edges)), "orthorhombic")
        p = plan("auto", x, box, 1.5, 0.3, NONE)
        assert p.is_list
        assert min(p.grid) >= 3
        listed = pairs(make(p, jnp.asarray(x), box))
    assert {(i, j) for i, j in listed if i < j} == cKDTree(x, boxsize=edges).query_pairs(p.radius)


def test_cells_may_lie_exactly_on_atoms() -> None:
    # A simple cubic lattice whose atoms sit on every cell's faces, with cells hardly wider than the radius.
    grid = np.stack(np.meshgrid(*[np.arange(9)] * 3, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.float32)
    p = check(grid - 9 * 7, 9 * np.eye(3, dtype=np.float32), "orthorhombic", 1.1, 0.3)
    assert p.grid == (6, 6, 6)


def test_far_away_in_single_precision_still_counts_its_rounding_errors() -> None:
    # At 1e5 boxes from home, single precision cannot tell cells apart: the grid is reported as too fine.
    x = np.random.default_rng(1).uniform(0, 9, (300, 3)).astype(np.float32)
    box = Box(jnp.eye(3) * 9, "orthorhombic")
    p = plan("cell_list", x, box, 1.0, 0.3, NONE)
    away = jnp.asarray(x).at[0, 1].add(9e5)
    found = make(p, away, box)
    assert p.overflowed(np.asarray(found.needed))
    wider = grow(p, np.asarray(found.needed))
    while wider.overflowed(needed := np.asarray(make(wider, away, box).needed)):
        wider = grow(wider, needed)
    assert wider.grid[1] == 1


def test_overflow_is_reported_and_grows_until_complete() -> None:
    rng = np.random.default_rng(2)
    with jax.enable_x64(True):
        h = 10 * np.eye(3)
        box = Box(jnp.asarray(h), "orthorhombic")
        x = rng.uniform(0, 10, (400, 3))
        start = plan("cell_list", x, box, 1.5, 0.3, NONE)
        crowded = x.copy()
        crowded[:250] = 5 + rng.uniform(-0.6, 0.6, (250, 3))
        p, rounds = start, 0
        while p.overflowed(needed := np.asarray(make(p, jnp.asarray(crowded), box).needed)):
            grown = grow(p, needed)
            assert grown != p
            p, rounds = grown, rounds + 1
        assert 1 <= rounds <= 3
        distance = shortest(crowded, h, "orthorhombic")
        listed = pairs(make(p, jnp.asarray(crowded), box))
        assert listed == {(i, j) for i, j in np.argwhere(distance < p.radius).tolist() if i != j}
        assert grow(p, needed) == p
    assert NeighborPlan.from_dict(p.to_dict()) == p


def test_a_shrunken_box_is_reported_and_mended() -> None:
    rng = np.random.default_rng(3)
    with jax.enable_x64(True):
        s = rng.uniform(0, 1, (700, 3))
        p = plan("cell_list", s * 9, Box(9 * jnp.eye(3), "orthorhombic"), 1.5, 0.3, NONE)
        assert p.grid == (4, 4, 4)
        h = np.diag([9.0, 6.0, 9.0])
        small = Box(jnp.asarray(h), "orthorhombic")
        found = make(p, jnp.asarray(s @ h), small)
        assert np.asarray(found.needed)[2:].tolist() == [0, 1, 0]
        while p.overflowed(needed := np.asarray(make(p, jnp.asarray(s @ h), small).needed)):
            p = grow(p, needed)
        assert p.grid == (4, 3, 4)
        listed = pairs(make(p, jnp.asarray(s @ h), small))
        distance = shortest(s @ h, h, "orthorhombic")
        assert listed == {(i, j) for i, j in np.argwhere(distance < p.radius).tolist() if i != j}


def test_excluded_pairs_are_masked() -> None:
    rng = np.random.default_rng(4)
    x = rng.uniform(0, 6, (120, 3)).astype(np.float32)
    box = Box(6 * jnp.eye(3), "orthorhombic")
    excluded = np.unique(np.sort(rng.integers(0, 120, (500, 2)), axis=1), axis=0)
    excluded = excluded[excluded[:, 0] < excluded[:, 1]]
    out = {(i, j) for a, b in excluded.tolist() for i, j in ((a, b), (b, a))}
    p = plan("cell_list", x, box, 1.4, 0.2, NONE)
    everyone = pairs(make(p, jnp.asarray(x), box))
    assert everyone & out
    assert pairs(build(p, jnp.asarray(x), box, excluded)) == everyone - out
    all_pairs = build(plan("all_pairs", x, box, 1.4, 0.2, excluded), jnp.asarray(x), box, excluded)
    assert isinstance(all_pairs, AllPairs)
    mask = np.asarray(all_pairs.mask)
    assert {(i, j) for i, j in itertools.product(range(120), repeat=2) if not mask[i, j]} == out | {
        (i, i) for i in range(120)
    }


@pytest.mark.parametrize(("n", "spread"), [(1, 1.0), (2, 0.1), (2, 40.0), (7, 1000.0)])
def test_few_atoms_and_no_neighbours(n: int, spread: float) -> None:
    x = (np.random.default_rng(n).uniform(0, spread, (n, 3))).astype(np.float32)
    assert check(x, np.eye(3, dtype=np.float32), "none", 1.0, 0.2).is_list
    assert check(x, 50 * np.eye(3, dtype=np.float32), "orthorhombic", 1.0, 0.2).is_list


def test_auto_chooses() -> None:
    rng = np.random.default_rng(6)
    box = Box(12 * jnp.eye(3), "orthorhombic")
    many, few = rng.uniform(0, 12, (1200, 3)), rng.uniform(0, 12, (50, 3))
    assert plan("auto", many, box, 1.5, 0.2, NONE).is_list
    assert not plan("auto", few, box, 1.5, 0.2, NONE).is_list
    assert not plan("auto", many, box, 6.0, 0.2, NONE).is_list
    assert not plan("cell_list", many, box, None, 0.2, NONE).is_list


def test_a_droplet_in_a_large_box_is_not_searched_through_crowded_cells() -> None:
    x = np.random.default_rng(7).normal(0, 0.5, (600, 3))
    p = plan("cell_list", x, Box(100 * jnp.eye(3), "orthorhombic"), 0.4, 0.1, NONE)
    assert p.grid == (1, 1, 1)


@pytest.mark.parametrize("grid", [(3, 3, 3), (3, 1, 3), (1, 1, 1)])
@pytest.mark.parametrize("shape", ["orthorhombic", "triclinic"])
def test_crowded_cells_are_searched_in_parts(grid: tuple[int, int, int], shape: str) -> None:
    # More atoms in one cell than a block of rows has, others nearly empty; and a part of the axes with one cell alone.
    rng = np.random.default_rng(11)
    h = np.diag([9.0, 8.5, 8.7])
    if shape == "triclinic":
        h[1, 0], h[2, 0], h[2, 1] = 2.0, -1.5, 3.0
    x = np.concatenate([rng.normal(0, 0.6, (210, 3)), rng.uniform(0, 1, (90, 3)) @ h])
    with jax.enable_x64(True):
        box = Box(jnp.asarray(h), shape)  # type: ignore[arg-type]
        p = NeighborPlan("cell_list", len(x), 1.5, 0.3, 290, grid, 300)
        found = make(p, jnp.asarray(x), box)
        assert not p.overflowed(np.asarray(found.needed))
        distance = shortest(x, h, shape)
        assert pairs(found) == {(i, j) for i, j in np.argwhere(distance < p.radius).tolist() if i != j}


def test_a_plan_counts_what_a_build_finds() -> None:
    # The plan is made in NumPy, the list by XLA: they cut the same cells and find the same neighbours.
    rng = np.random.default_rng(12)
    with jax.enable_x64(True):
        for kind in ("orthorhombic", "thin", "few", "triclinic", "few_triclinic", "none"):
            h, shape = random_box(rng, kind)
            x = rng.uniform(0, 1, (200, 3)) @ h * (5 if shape == "none" else 1)
            box = Box(jnp.asarray(h), shape)  # type: ignore[arg-type]
            cutoff = 1.0 if shape == "none" else min(1.0, half_width(h))
            p = plan("cell_list", x, box, cutoff, 0.2, NONE)
            row, cell = np.asarray(make(p, jnp.asarray(x), box).needed)[:2]
            atoms = planning.AtomsToList(x, h, shape, p.radius)  # type: ignore[arg-type]
            assert atoms.neighbors(p.grid).max() == row
            assert np.bincount(atoms.cells(p.grid)).max() == cell


def test_a_crystal_is_planned_with_room_for_its_melt() -> None:
    # 78 neighbours each on the lattice; in the melt 75 on average, and up to 88 in a run.
    edge = (4 / 0.8442) ** (1 / 3)
    cell = np.asarray([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    corners = np.stack(np.meshgrid(*[np.arange(6)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    x = ((corners + cell) * edge).reshape(-1, 3)
    p = plan("auto", x, Box(6 * edge * jnp.eye(3), "orthorhombic"), 2.5, 0.3, NONE)
    assert 88 <= p.capacity <= 104


def test_displacement_is_measured_since_the_build() -> None:
    with jax.enable_x64(True):
        x = np.random.default_rng(8).uniform(0, 9, (50, 3))
        box = Box(9 * jnp.eye(3), "orthorhombic")
        p = plan("cell_list", x, box, 1.5, 0.3, NONE)
        found = make(p, jnp.asarray(x), box)
        assert float(displacement2(found, jnp.asarray(x), box)) == 0
        moved = x.copy()
        moved[7] += [0.1, -0.2, 0.2]
        np.testing.assert_allclose(displacement2(found, jnp.asarray(moved), box), 0.09, rtol=1e-12)


def test_a_change_of_the_box_counts_as_displacement() -> None:
    # While the displacement is within half the skin, no pair that was left out may come within the cutoff.
    rng = np.random.default_rng(9)
    with jax.enable_x64(True):
        h = np.array([[6.0, 0, 0], [2.0, 6.5, 0], [-1.0, 2.5, 7.0]])
        x = rng.uniform(0, 1, (200, 3)) @ h
        p = plan("cell_list", x, Box(jnp.asarray(h), "triclinic"), 1.2, 0.4, NONE)
        found = make(p, jnp.asarray(x), Box(jnp.asarray(h), "triclinic"))
        listed = pairs(found)
        for _ in range(20):
            change = np.eye(3) + np.tril(rng.normal(0, 0.05, (3, 3)))
            h1, x1 = h @ change, x @ change + rng.normal(0, 0.02, x.shape)
            d = np.sqrt(float(displacement2(found, jnp.asarray(x1), Box(jnp.asarray(h1), "triclinic"))))
            close = np.argwhere(shortest(x1, h1, "triclinic") < 1.2)
            complete = {(i, j) for i, j in close.tolist() if i != j} <= listed
            assert complete or d > 0.2
        scaled = Box(jnp.asarray(h * 0.9), "triclinic")
        bound = 0.1 * np.sqrt(3) * p.radius / 2
        np.testing.assert_allclose(displacement2(found, jnp.asarray(x * 0.9), scaled), bound**2, rtol=1e-9)


def test_vectorised_builds_equal_single_ones_and_carry_no_gradient() -> None:
    x = np.random.default_rng(10).uniform(0, 7, (3, 80, 3)).astype(np.float32)
    box = Box(7 * jnp.eye(3), "orthorhombic")
    p = plan("cell_list", x[0], box, 1.5, 0.3, NONE)
    p = dataclasses.replace(p, capacity=80, cell_capacity=80)
    together = jax.vmap(lambda x: dataclasses.astuple(make(p, x, box))[:2])(jnp.asarray(x))
    for k in range(3):
        single = make(p, jnp.asarray(x[k]), box)
        np.testing.assert_array_equal(together[0][k], single.indices)
        np.testing.assert_array_equal(together[1][k], single.mask)
    gradient = jax.grad(lambda x: jnp.sum(make(p, x, box).reference ** 2))(jnp.asarray(x[0]))
    assert not np.any(gradient)
