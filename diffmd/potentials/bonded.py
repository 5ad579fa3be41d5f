"""Harmonic bonds and angles."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import Field

from diffmd.potentials.base import BuildContext, Parameters, Potential, TermPotential
from diffmd.potentials.elementwise import safe_norm
from diffmd.potentials.term_lists import Chain, term_atoms
from diffmd.potentials.values import TermValue, term_value
from diffmd.spec import POTENTIALS, Spec, quantity

NotNegative = Annotated[float, Field(ge=0)]


@dataclasses.dataclass(frozen=True, eq=False)
class HarmonicBond(TermPotential):
    """U = k (r - r0)^2 / 2 for each bond of length r: the factor 1/2 is there (as in OpenMM's HarmonicBondForce).

    Atoms at the same place have the energy of r = 0 and no force, since it has no direction.
    """

    parameters: Mapping[str, np.ndarray]
    atoms: Int[np.ndarray, "bonds 2"]
    r0: TermValue
    k: TermValue

    def term_energies(self, p: Parameters, v: Float[Array, "bonds 1 3"]) -> Float[Array, "bonds"]:
        """Energy of each bond [energy]; v = x_j - x_i [length]."""
        return self.k.values(p) * (safe_norm(v[:, 0]) - self.r0.values(p)) ** 2 / 2


@dataclasses.dataclass(frozen=True, eq=False)
class HarmonicAngle(TermPotential):
    """U = k (theta - theta0)^2 / 2, theta the angle at j of the atoms i, j, k (as in OpenMM's HarmonicAngleForce).

    theta = atan2(|a x b|, a . b), a = x_i - x_j, b = x_k - x_j, is exact at every angle. A straight or a folded angle
    has a cusp there and its force, which has no direction, is zero; but an angle whose rest is straight, theta0 = pi,
    is smooth there, and has the derivatives of every order that it should (linear molecules). Atoms on top of each
    other count as theta = 0, without force.
    """

    parameters: Mapping[str, np.ndarray]
    atoms: Int[np.ndarray, "angles 3"]
    theta0: TermValue
    k: TermValue

    def term_energies(self, p: Parameters, v: Float[Array, "angles 2 3"]) -> Float[Array, "angles"]:
        """Energy of each angle [energy]; v = (x_j - x_i, x_k - x_j) [length]."""
        a, b = -v[:, 0], v[:, 1]
        theta0, k = self.theta0.values(p), self.k.values(p)
        cross = jnp.cross(a, b)
        dot = jnp.sum(a * b, axis=-1)
        sine = safe_norm(cross)
        cosine = jnp.where((dot == 0) & (sine == 0), 1, dot)
        squared = jnp.sum(cross * cross, axis=-1)
        straight = (dot < 0) & (squared < 1e-4 * dot * dot)
        # phi = pi - theta has a cusp where it is zero, but phi^2 = arctan^2(|a x b| / a.b) is a power series in the
        # square: U = k/2 (phi^2 - 2 delta phi + delta^2). Its first term left out is 3e-17 of phi^2 at the threshold.
        t = jnp.where(straight, squared, 0) / jnp.where(straight, dot, 1) ** 2
        phi_squared = t * (1 - t * (2 / 3 - t * (23 / 45 - t * 44 / 105)))
        phi = jnp.arctan2(sine, jnp.where(straight, -dot, 1))
        delta = jnp.pi - theta0
        theta = jnp.arctan2(sine, jnp.where(straight, 1, cosine))
        return k / 2 * jnp.where(straight, phi_squared - 2 * delta * phi + delta**2, (theta - theta0) ** 2)


@POTENTIALS.register
class HarmonicBondSpec(Spec):
    """U = k (r - r0)^2 / 2, with the factor 1/2, for each bond listed; r by the minimum image."""

    kind: Literal["harmonic_bond"] = "harmonic_bond"
    bonds: list[list[int]] | Chain = quantity(
        doc="Pairs of atoms, counted from zero, [[0, 1], [1, 2]]; or {chain: [first, last]}, each atom with its next."
    )
    r0: NotNegative | list[NotNegative] | dict[str, NotNegative] = quantity(
        doc="Length at rest: one for all, one per bond, or by types (C-H: 0.109).", unit="length"
    )
    k: NotNegative | list[NotNegative] | dict[str, NotNegative] = quantity(
        doc="Stiffness in k (r - r0)^2 / 2: one for all, one per bond, or by types.", unit="energy/length^2"
    )

    def build(self, context: BuildContext) -> Potential:
        """The potential.

        Raises:
            ConfigError: for an atom that is not there, or values that do not fit the bonds.
        """
        atoms = term_atoms(self.bonds, 2, context, "bonds")
        r0, start_r0 = term_value("r0", self.r0, atoms, context.types, context.type_names, context.path("r0"))
        k, start_k = term_value("k", self.k, atoms, context.types, context.type_names, context.path("k"))
        return HarmonicBond({**start_r0, **start_k}, atoms, r0, k)


@POTENTIALS.register
class HarmonicAngleSpec(Spec):
    """U = k (theta - theta0)^2 / 2, with the factor 1/2, for each angle i-j-k listed, the vertex j in the middle."""

    kind: Literal["harmonic_angle"] = "harmonic_angle"
    angles: list[list[int]] | Chain = quantity(
        doc="Triples of atoms, counted from zero, vertex in the middle; or {chain: [first, last]}, each three in a row."
    )
    theta0: float | list[float] | dict[str, float] = quantity(
        doc="Angle at rest: one for all, one per angle, or by types (H-O-H: 104.5 deg).", unit="angle"
    )
    k: NotNegative | list[NotNegative] | dict[str, NotNegative] = quantity(
        doc="Stiffness in k (theta - theta0)^2 / 2: one for all, one per angle, or by types.", unit="energy/angle^2"
    )

    def build(self, context: BuildContext) -> Potential:
        """The potential.

        Raises:
            ConfigError: for an atom that is not there, or values that do not fit the angles.
        """
        atoms = term_atoms(self.angles, 3, context, "angles")
        theta0, start = term_value(
            "theta0", self.theta0, atoms, context.types, context.type_names, context.path("theta0")
        )
        k, start_k = term_value("k", self.k, atoms, context.types, context.type_names, context.path("k"))
        return HarmonicAngle({**start, **start_k}, atoms, theta0, k)
