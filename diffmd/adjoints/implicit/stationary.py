"""Minima of the energy, polished by Newton steps, and linear systems with the matrix H of second derivatives there.

H is known by its products with a vector alone. Systems with it are solved by conjugate gradients (SciPy's), on the
host and in double precision, whatever the precision of the products.

H is singular: moving or turning the whole system costs nothing. Of its 3 translations and 3 rotations those that H
annihilates (in a box no rotation, in an outer field no translation) are projected out of every vector. Others, such as
the turning of one of several molecules in a box, do no harm where the right-hand side is orthogonal to them; where it
is not, nothing holds what it asks for, and the solve does not converge.

What a loss's slope has along them is not lost. A search that no outer force acts on holds the centre of mass
sum m_i x_i / M, so that along free translations the slope g asks for

    H lambda = b,     b_i = g_i - m_i pull,     pull = sum_j g_j / M.

How far the search turns the whole hangs on the way to the minimum: a slope along free rotations is refused.

Where the energy curves downwards the structure is no minimum but a saddle point, which conjugate gradients see in the
directions that they search; so that symmetry does not hide it, a random right-hand side is solved for, too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from diffmd.forcefield import Neighbors

Vector = Float[np.ndarray, "n3"]

_MOST_STEPS = 50
_MOST_HALVINGS = 10
_NEWTON = 1e-2
"""How far each Newton system is solved, relative to its right-hand side: rounding leaves no more near a minimum."""


class Saddle(Exception):
    """The energy curves downwards; `force` is the largest there."""

    def __init__(self, force: float) -> None:
        super().__init__(f"the energy curves downwards (largest force {force:.3g})")
        self.force = force


class Adrift(Exception):
    """The loss hangs on where the whole lies (`turned` false) or how it is turned, which nothing holds."""

    def __init__(self, turned: bool) -> None:
        super().__init__("turned" if turned else "moved")
        self.turned = turned


class NotHeld(Exception):
    """No further than `least` was reached, from the largest force `force`."""

    def __init__(self, force: float, least: float) -> None:
        super().__init__(f"from {force:.3g} no further than {least:.3g}")
        self.force = force
        self.least = least


@dataclasses.dataclass(frozen=True)
class Point:
    """A structure: its forces, its neighbours, and the product of H with a vector there."""

    x: Float[np.ndarray, "atoms 3"]
    masses: Float[np.ndarray, "atoms"]
    forces: Float[np.ndarray, "atoms 3"]
    neighbors: Neighbors
    product: Callable[[Vector], Vector]

    @property
    def largest(self) -> float:
        """The largest component of a force; infinite where one is not finite."""
        return float(np.max(np.abs(self.forces), initial=0)) if np.isfinite(self.forces).all() else np.inf

    @property
    def epsilon(self) -> float:
        """Rounding of the forces."""
        return float(np.finfo(self.forces.dtype).eps)


Surface = Callable[[Float[np.ndarray, "atoms 3"]], Point]
"""From a structure to what the energy is like there."""


def polished(surface: Surface, x: Float[np.ndarray, "atoms 3"], tolerance: float | None) -> tuple[Point, list[float]]:
    """The minimum near `x`, and the largest force after each Newton step, that of `x` first.

    Steps are halved until the forces fall, and leave the centre of mass where it is.

    Args:
        tolerance: the largest component of a force that is left; None: a hundred times what rounding of the
            coordinates makes of it.

    Raises:
        Saddle: the energy curves downwards on the way.
        NotHeld: the tolerance is not reached.
    """
    point = surface(x)
    forces = [point.largest]
    noise = 100 * point.epsilon * _stiffness(point) * float(np.max(np.abs(x), initial=0))
    limit = noise if tolerance is None else tolerance
    while point.largest > limit and len(forces) <= _MOST_STEPS:
        system = _System(point)
        step = system.centered(system.solve(point.forces.reshape(-1).astype(float), _NEWTON)[0]).reshape(x.shape)
        nearer = _fallen(surface, point, step)
        if nearer is None:
            break
        point = nearer
        forces.append(point.largest)
    if not point.largest <= limit:
        raise NotHeld(forces[0], point.largest)
    return point, forces


@dataclasses.dataclass(frozen=True)
class Solved:
    """The solution of H lambda = right - m pull, and |what it leaves of the right-hand side| / |right-hand side|."""

    adjoint: Float[np.ndarray, "atoms 3"]
    pull: Float[np.ndarray, "3"]
    left: float


def solved(
    point: Point, right: Float[np.ndarray, "atoms 3"], noise: float, start: Float[np.ndarray, "atoms 3"]
) -> Solved:
    """The adjoint of a minimum, whose centre of mass is that of the `start` of the search.

    Args:
        right: the slope of the loss.
        noise: what rounding leaves of a component of it.

    Raises:
        Saddle: H is not positive.
        Adrift: the loss hangs on how the whole is turned, or on where it lies though the search moved it.
        NotHeld: it does not converge.
    """
    system = _System(point)
    wanted, slack = point.epsilon ** (2 / 3), point.epsilon**0.4
    drawn = np.random.default_rng(0).standard_normal(right.size)
    system.solve(system.product(drawn), wanted)
    g = right.reshape(-1)
    # A slope along free motions no larger than what the solve may leave of it, or than rounding, is none.
    allowed = slack * float(np.linalg.norm(g)) + noise * g.size**0.5
    moved = np.abs(system.drift((point.x - start).reshape(-1))).max(initial=0)
    if np.linalg.norm(system.along_shifts(g)) > allowed and moved > slack * np.max(np.abs(point.x), initial=0):
        raise Adrift(turned=False)
    held = system.balanced(g)
    b = system.project(held)
    if np.linalg.norm(held - b) > allowed:
        raise Adrift(turned=True)
    pull = ((g - held).reshape(right.shape) / point.masses[:, None])[0]
    if not b.any():
        return Solved(np.zeros_like(right), pull, 0.0)
    solution, whole = system.solve(b, wanted)
    left = float(np.linalg.norm(b - system.product(solution)) / np.linalg.norm(b))
    if not whole or not left <= slack:
        raise NotHeld(point.largest, left)
    return Solved(solution.reshape(right.shape), pull, left)


def _fallen(surface: Surface, point: Point, step: Float[np.ndarray, "atoms 3"]) -> Point | None:
    """The first of step, step/2, ... that makes the forces smaller; None if none does."""
    before = np.linalg.norm(point.forces.astype(float))
    for _ in range(_MOST_HALVINGS):
        tried = surface((point.x + step).astype(point.x.dtype))
        if np.isfinite(tried.forces).all() and np.linalg.norm(tried.forces.astype(float)) < before:
            return tried
        step = step / 2
    return None


def _stiffness(point: Point) -> float:
    """The root mean square of H's eigenvalues, from one random vector."""
    drawn = np.random.default_rng(1).standard_normal(point.x.size)
    return float(np.linalg.norm(point.product(drawn)) / np.linalg.norm(drawn))


class _System:
    """H at a point, without the motions that cost nothing."""

    def __init__(self, point: Point) -> None:
        self._point = point
        self._free = _free_motions(point)
        shifts = np.repeat(np.eye(3)[None], len(point.x), axis=0).reshape(-1, 3) / len(point.x) ** 0.5
        self._shifts = _annihilated(point, shifts)
        self._mass = np.repeat(point.masses / point.masses.mean(), 3)
        self._steepest = 0.0

    def project(self, v: Vector) -> Vector:
        """Without the free motions."""
        return v - self._free @ (self._free.T @ v)

    def centered(self, v: Vector) -> Vector:
        """The motion, but for a free translation, that leaves the centre of mass where it is."""
        return v - self._shifts @ (self._shifts.T @ (self._mass * v))

    def drift(self, v: Vector) -> Vector:
        """The motion of the centre of mass in what is not `centered`."""
        return v - self.centered(v)

    def balanced(self, slope: Vector) -> Vector:
        """The slope of the same loss of structures whose centre of mass is held: without m_i pull."""
        return slope - self._mass * self.along_shifts(slope)

    def along_shifts(self, slope: Vector) -> Vector:
        """Its part along free translations."""
        return self._shifts @ (self._shifts.T @ slope)

    def product(self, v: Vector) -> Vector:
        """H v, projected on both sides."""
        return self.project(self._point.product(self.project(v)))

    def solve(self, right: Vector, tolerance: float) -> tuple[Vector, bool]:
        """Conjugate gradients until the residual has fallen to `tolerance` of the (projected) right-hand side.

        Returns:
            The solution, and whether it is one: else the last before the search met a direction without curvature.
        """
        from scipy.sparse.linalg import LinearOperator, cg

        last = np.zeros_like(right)

        def keep(solution: Vector) -> None:
            last[:] = solution

        def matvec(v: Vector) -> Vector:
            image = self.product(v)
            square, curvature = float(v @ v), float(v @ image)
            self._steepest = max(self._steepest, float(np.linalg.norm(image)) / max(square, 1e-300) ** 0.5)
            scale = self._steepest * square
            if curvature < -(self._point.epsilon**0.5) * scale:
                raise Saddle(self._point.largest)
            if curvature <= self._point.epsilon * scale:
                raise _FlatError
            return image

        operator = LinearOperator((len(right), len(right)), matvec=matvec, dtype=right.dtype)
        most = 20 * len(right) + 100
        try:
            solution, failed = cg(operator, self.project(right), rtol=tolerance, atol=0, maxiter=most, callback=keep)
        except _FlatError:
            return last, False
        return solution, not failed


class _FlatError(Exception):
    """A direction that costs nothing."""


def _free_motions(point: Point) -> Float[np.ndarray, "n3 motions"]:
    """Orthonormal translations and rotations of the whole that H annihilates."""
    from_center = (point.x - point.x.mean(axis=0)).astype(float)
    extent = float(np.linalg.norm(from_center))
    axes = np.eye(3)
    moves = [np.broadcast_to(axis * (extent or 1), point.x.shape) for axis in axes]
    turns = [np.cross(axis, from_center) for axis in axes]
    motions, sizes, _ = np.linalg.svd(np.stack([m.reshape(-1) for m in (*moves, *turns)], axis=1), full_matrices=False)
    # A linear molecule cannot be turned about its axis.
    motions = motions[:, sizes > 1e-6 * sizes[0]]
    return _annihilated(point, motions)


def _annihilated(point: Point, motions: Float[np.ndarray, "n3 motions"]) -> Float[np.ndarray, "n3 fewer"]:
    """Those of the space of some orthonormal motions that cost nothing, orthonormal, too."""
    images = np.stack([point.product(motion) for motion in motions.T], axis=1)
    _, costs, mixed = np.linalg.svd(images, full_matrices=False)
    # Away from the minimum forces turn with the structure, which looks like a cost.
    allowed = point.epsilon**0.5 * _stiffness(point)
    extent = float(np.linalg.norm(point.x - point.x.mean(axis=0)))
    if extent:
        allowed += 2 * float(np.linalg.norm(point.forces.astype(float))) / extent
    return motions @ mixed[costs <= allowed].T
