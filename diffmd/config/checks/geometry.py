"""Box, atoms and starting points of a system; how far potentials may reach in its box."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from diffmd.config.effective import EffectiveSystem
from diffmd.config.inputs import per_atom
from diffmd.config.positions import InlinePositions, LatticePositions, lattice_box
from diffmd.config.velocities import InlineVelocities
from diffmd.errors import ConfigError
from diffmd.potentials.base import EnergyPotential, PairPotential, Potential

TOLERANCE = 1e-9
_SMALLEST = 1e-30
_BRINGS_BOX = ("file", "lattice")


def system_problems(one: EffectiveSystem) -> Iterator[ConfigError]:
    """What is wrong with a system's atoms, positions and box."""
    system, path = one.system, one.system_path
    kind = system.positions.kind if system.positions is not None else None
    if kind is None and system.start is None:
        yield ConfigError(
            "is missing: write where the atoms start, such as {kind: random, min_distance: 0.7}", f"{path}.positions"
        )
    if not system.atoms and system.start is None and kind not in (None, "file"):
        yield ConfigError("lists no atoms; write groups such as {type: A, count: 50, mass: 10.0}", f"{path}.atoms")
    if system.box == "auto" and system.start is None and kind is not None and kind not in _BRINGS_BOX:
        yield ConfigError(
            f"is missing, and {kind} positions bring none; write edge lengths, or null for no periodicity",
            f"{path}.box",
        )
    for name in ("masses", "charges"):
        if system.atoms and getattr(system, name):
            yield ConfigError(
                f"stands beside `atoms`, whose groups have {name} of their own; keep one of them", f"{path}.{name}"
            )
    try:
        known_box(one)
    except ConfigError as problem:
        yield problem
    yield from _counts(one)


def _counts(one: EffectiveSystem) -> Iterator[ConfigError]:
    """Inline numbers for more or fewer atoms than are listed."""
    system, atoms = one.system, sum(group.count for group in one.system.atoms)
    for name, spec in (("positions", system.positions), ("velocities", system.velocities)):
        if atoms and isinstance(spec, (InlinePositions, InlineVelocities)):
            try:
                per_atom(spec.values, atoms, f"{one.system_path}.{name}.values")
            except ConfigError as problem:
                yield problem


def check_box(box: Sequence[object], path: str) -> Float[np.ndarray, "3 3"]:
    """The box vectors as rows, of edges or of vectors.

    Raises:
        ConfigError: at `path`, if vectors are not lower triangular with a positive diagonal and reduced; the message
            has the reduced equivalent.
    """
    vectors = np.asarray(box, dtype=float)
    for edge in vectors if vectors.ndim == 1 else np.abs(vectors).max(axis=1):
        if not _SMALLEST < edge < 1 / _SMALLEST:
            raise ConfigError(f"has an edge of {edge:g}; its volume would be no number", path)
    if vectors.ndim == 1:
        return np.diag(vectors)
    if not np.isfinite(vectors).all() or abs(np.linalg.det(vectors)) <= 1e-12 * np.abs(vectors).max() ** 3:
        raise ConfigError("the box vectors lie in one plane; give three that span a volume", path)
    slack = TOLERANCE * np.abs(vectors).max()
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = vectors
    triangular = max(abs(ay), abs(az), abs(bz)) <= slack and min(ax, by, cz) > 0
    if not triangular:
        raise ConfigError(
            "box vectors are rows [ax, 0, 0], [bx, by, 0], [cx, cy, cz] with ax, by, cz > 0; "
            f"this box, turned and reduced, is {_shown(_reduced(_turned(vectors)))} (turn the positions with it)",
            path,
        )
    if max(abs(bx) - ax / 2, abs(cx) - ax / 2, abs(cy) - by / 2) > slack:
        raise ConfigError(
            "the box is not reduced (|bx| <= ax/2, |cx| <= ax/2, |cy| <= by/2); "
            f"the same lattice is {_shown(_reduced(vectors))}",
            path,
        )
    return np.tril(vectors)


def _turned(vectors: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
    """The same vectors, turned (and mirrored, where left-handed) to be lower triangular."""
    lower = np.linalg.qr(vectors.T)[1].T
    return lower * np.sign(np.diag(lower))


def _reduced(vectors: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
    a, b, c = np.tril(vectors)
    c = c - np.round(c[1] / b[1]) * b
    c = c - np.round(c[0] / a[0]) * a
    b = b - np.round(b[0] / a[0]) * a
    return np.stack([a, b, c])


def _shown(vectors: Float[np.ndarray, "3 3"]) -> str:
    return str([[float(f"{x:.10g}") + 0.0 for x in row] for row in vectors])


def widths(vectors: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3"]:
    """Perpendicular widths of a box."""
    return 1 / np.linalg.norm(np.linalg.inv(vectors), axis=0)


def known_box(one: EffectiveSystem) -> Float[np.ndarray, "3 3"] | None:
    """The box vectors where the config alone gives them: by the box, or by a lattice's density."""
    system = one.system
    if isinstance(system.box, list):
        return check_box(system.box, f"{one.system_path}.box")
    if system.box == "auto" and isinstance(system.positions, LatticePositions) and system.atoms:
        count = sum(group.count for group in system.atoms)
        return np.diag(lattice_box(system.positions, count, f"{one.system_path}.positions"))
    return None


def check_reach(one: EffectiveSystem, vectors: Float[np.ndarray, "3 3"], potentials: Mapping[str, Potential]) -> None:
    """Raises ConfigError if a potential (by its path) reaches over half the smallest width of the system's box."""
    for problem in _reaches(one, vectors, potentials):
        raise problem


def reach_problems(one: EffectiveSystem, potentials: Mapping[str, Potential]) -> Iterator[ConfigError]:
    """Cutoffs too long for the box."""
    vectors = known_box(one)
    if vectors is not None:
        yield from _reaches(one, vectors, potentials)


def _reaches(
    one: EffectiveSystem, vectors: Float[np.ndarray, "3 3"], potentials: Mapping[str, Potential]
) -> Iterator[ConfigError]:
    half = float(widths(vectors).min()) / 2
    # A potential that several systems share may be too long for one of them.
    box = "the box" if one.system_path == "system" else f"{one.system_path}.box"
    follows = ""
    if one.system.box == "auto" and isinstance(one.system.positions, LatticePositions):
        follows = " (which the density and the number of atoms give, and their masses where it is in g/cm3)"
    for path, potential in potentials.items():
        if not isinstance(potential, (PairPotential, EnergyPotential)) or potential.cutoff is None:
            continue
        if potential.cutoff > half * (1 + TOLERANCE):
            yield ConfigError(
                f"{potential.cutoff:g} is longer than half the smallest width of {box}, {half:.6g}{follows}; "
                "shorten it or enlarge the box",
                f"{path}.{potential.cutoff_key}",
            )
