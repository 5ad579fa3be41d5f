"""Random points no closer than a minimum distance: insertion one after another, then overlaps pushed apart."""

from __future__ import annotations

import itertools
import math

import numpy as np
from jaxtyping import Float, Int

from diffmd.errors import ConfigError

DENSEST = math.pi / math.sqrt(18)
"""Volume fraction of the densest packing of equal spheres (Hales 2005)."""

LOOSE = 0.2
"""Volume fraction of the cube that atoms are placed in where there is no box."""

_JAMMED = 0.36
"""Random insertion jams at a volume fraction of 0.38; from here on it is not even tried."""

_EASY = 0.45
"""Volume fraction that is always found, quickly."""

_INSERTIONS = 200
_PUSHES = 3000
_WORK = 40_000_000

_THIN = 10
"""Images along one direction beyond which a box is too thin for the distance to be worth a try."""


def fraction(count: int, distance: float, volume: float) -> float:
    """Volume fraction of `count` spheres whose diameter is `distance`."""
    return count * math.pi / 6 * distance**3 / volume


def place(
    count: int, distance: float, vectors: Float[np.ndarray, "3 3"] | None, seed: int, path: str
) -> Float[np.ndarray, "count 3"]:
    """`count` random points, no two (nor their images) closer than `distance`. The same for the same seed.

    Args:
        vectors: box vectors; None places them in a cube around the origin, loosely.
        path: the config's path of `distance`, for errors.

    Raises:
        ConfigError: no such placing exists, or none was found within a bounded effort.
    """
    rng = np.random.default_rng(seed)
    if vectors is None:
        if distance == 0:
            raise ConfigError("must be over 0 where there is no box: it says how much room the atoms get", path)
        edge = (count * math.pi / 6 * distance**3 / LOOSE) ** (1 / 3) + distance
        return place(count, distance, edge * np.eye(3), seed, path) - edge / 2
    if distance == 0 or count == 1:
        return rng.random((count, 3)) @ vectors
    volume = abs(float(np.linalg.det(vectors)))
    filled = fraction(count, distance, volume)
    # The nearest images of two points differ by at most half of each vector.
    furthest = float(np.linalg.norm(vectors, axis=1).sum() if np.any(np.tril(vectors, -1)) else np.linalg.norm(vectors))
    if distance > furthest / 2:
        raise ConfigError(_refusal(count, distance, volume, "no two points of this box are so far apart"), path)
    if distance > _THIN * float(1 / np.linalg.norm(np.linalg.inv(vectors), axis=0).max()):
        raise ConfigError(_refusal(count, distance, volume, "the box is far thinner than that"), path)
    # An atom may be nearer to its own images than `distance`; only then are they no packing of spheres.
    if filled > DENSEST and distance <= np.min(np.linalg.norm(vectors, axis=1)):
        raise ConfigError(_refusal(count, distance, volume, "even the densest packing fills 74 %"), path)
    x = np.empty((0, 3))
    if filled < _JAMMED:
        x = _insert(count, distance, vectors, rng)
    if len(x) < count:
        x = np.concatenate([x, rng.random((count - len(x), 3)) @ vectors])
        x = _push_apart(x, distance, vectors, rng)
    if len(close_pairs(x, vectors, distance)[0]):
        raise ConfigError(_refusal(count, distance, volume, "none was found (random packings end at 64 %)"), path)
    return x


def _refusal(count: int, distance: float, volume: float, why: str) -> str:
    easy = (_EASY * 6 * volume / (math.pi * count)) ** (1 / 3)
    edge = (fraction(count, distance, 1) / _EASY) ** (1 / 3)
    percent = 100 * fraction(count, distance, volume)
    return (
        f"{count} atoms {distance:g} apart in a volume of {volume:.4g} would fill {percent:.0f} % of it as spheres; "
        f"{why}. Write at most {_floor(easy)} here, or a cubic box of edge {edge:.3g} or more, or use {{kind: lattice}}"
    )


def _floor(value: float) -> str:
    """Two digits, rounded down."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return f"{math.floor(value / step) * step:.6g}"


def close_pairs(
    x: Float[np.ndarray, "n 3"], vectors: Float[np.ndarray, "3 3"], distance: float
) -> tuple[Int[np.ndarray, "pairs"], Int[np.ndarray, "pairs"], Float[np.ndarray, "pairs 3"]]:
    """Pairs i < j with an image nearer than `distance`, each such image once, and x_i - x_j of that image."""
    from scipy.spatial import cKDTree

    points, owner = _with_images(x, vectors, distance)
    first, second = np.sort(cKDTree(points).query_pairs(distance, output_type="ndarray"), axis=1).T
    d = points[first] - points[second]
    kept = (first < len(x)) & (owner[first] < owner[second]) & (np.sum(d * d, axis=1) < distance**2)
    order = np.lexsort((second[kept], first[kept]))
    return owner[first[kept]][order], owner[second[kept]][order], d[kept][order]


def _with_images(
    x: Float[np.ndarray, "n 3"], vectors: Float[np.ndarray, "3 3"], distance: float
) -> tuple[Float[np.ndarray, "m 3"], Int[np.ndarray, "m"]]:
    """The points, wrapped, then their images within `distance` of the box; and which point each is."""
    inverse = np.linalg.inv(vectors)
    reach = distance * np.linalg.norm(inverse, axis=0)
    s = x @ inverse
    s -= np.floor(s)
    shells = [range(-m, m + 1) for m in np.ceil(reach).astype(int)]
    points, owners = [s], [np.arange(len(s))]
    for shift in itertools.product(*shells):
        if any(shift):
            moved = s + shift
            near = np.all((moved > -reach) & (moved < 1 + reach), axis=1)
            points.append(moved[near])
            owners.append(np.flatnonzero(near))
    return np.concatenate(points) @ vectors, np.concatenate(owners)


def _insert(
    count: int, distance: float, vectors: Float[np.ndarray, "3 3"], rng: np.random.Generator
) -> Float[np.ndarray, "placed 3"]:
    """Random sequential insertion, in batches: as many as went in."""
    from scipy.spatial import cKDTree

    x = np.empty((0, 3))
    for _ in range(_INSERTIONS):
        darts = rng.random((max(1000, count - len(x)), 3)) @ vectors
        if len(x):
            tree = cKDTree(_with_images(x, vectors, distance)[0])
            darts = darts[tree.query(darts)[0] >= distance]
        earlier, later, _ = close_pairs(darts, vectors, distance)
        free = np.ones(len(darts), bool)
        # In the order they were thrown: whether an earlier one stands is settled before the later asks.
        for k in np.argsort(later, kind="stable"):
            if free[earlier[k]]:
                free[later[k]] = False
        x = np.concatenate([x, darts[free]])
        if len(x) >= count:
            return x[:count]
    return x


def _push_apart(
    x: Float[np.ndarray, "n 3"], distance: float, vectors: Float[np.ndarray, "3 3"], rng: np.random.Generator
) -> Float[np.ndarray, "n 3"]:
    """Moves both atoms of every overlapping pair apart, again and again, until none overlaps or the effort is spent."""
    # Aiming a little further than asked ends the approach in finitely many pushes.
    aim = distance * (1 + 1e-3)
    filled = fraction(len(x), distance, abs(float(np.linalg.det(vectors))))
    # Points with their images, times the neighbours that each has.
    images = float(np.prod(1 + 2 * distance * np.linalg.norm(np.linalg.inv(vectors), axis=0)))
    work = len(x) * images * 10 * max(1.0, filled)
    for _ in range(int(min(_PUSHES, _WORK // work + 5 + 45 * (filled < DENSEST)))):
        i, j, d = close_pairs(x, vectors, aim)
        r = np.linalg.norm(d, axis=1)
        if not np.any(r < distance):
            break
        # Atoms on top of each other part in a random direction.
        d = np.where(r[:, None] > 1e-9 * distance, d, rng.normal(size=d.shape) * distance)
        push = d / np.linalg.norm(d, axis=1)[:, None] * ((aim - r) / 2)[:, None]
        move = np.stack([np.bincount(i, push[:, k], len(x)) - np.bincount(j, push[:, k], len(x)) for k in range(3)], -1)
        x = x + 0.6 * move
    return x
