"""Finitely extensible bonds of bead-spring polymers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import Field, model_validator

from diffmd.potentials.base import BuildContext, Parameters, Potential, TermPotential
from diffmd.potentials.term_lists import Chain, term_atoms
from diffmd.potentials.values import TermValue, term_value
from diffmd.spec import POTENTIALS, Spec, quantity

NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]


@dataclasses.dataclass(frozen=True, eq=False)
class FeneBond(TermPotential):
    """U = -(k/2) r_max^2 ln(1 - (r/r_max)^2) for each bond of length r, plus the bonded beads' own repulsion if given:
    4 epsilon ((sigma/r)^12 - (sigma/r)^6) + epsilon up to r = 2^(1/6) sigma, where it and its force are zero.

    For r << r_max the first part is k r^2 / 2. A bond of length r_max or more has no energy: nan, and so are its
    force and all its derivatives (but not those of other bonds), so that a run stops there and says so.

    Attributes:
        parameters: starting values of ``k`` and ``r_max``, and of ``sigma`` and ``epsilon`` if there is a repulsion.
        atoms: the pairs of atoms.
        k, r_max, sigma, epsilon: how each bond's numbers are looked up.

    Source: K. Kremer and G. S. Grest, J. Chem. Phys. 92, 5057 (1990), equations 2 and 3.
    """

    parameters: Mapping[str, np.ndarray]
    atoms: Int[np.ndarray, "bonds 2"]
    k: TermValue
    r_max: TermValue
    sigma: TermValue | None
    epsilon: TermValue | None
    limit: ClassVar[str | None] = "r_max"

    def term_energies(self, p: Parameters, v: Float[Array, "bonds 1 3"]) -> Float[Array, "bonds"]:
        """Energy of each bond [energy]; v = x_j - x_i [length]."""
        r2 = jnp.sum(v[:, 0] * v[:, 0], axis=-1)
        k, most = self.k.values(p), self.r_max.values(p) ** 2
        stretch = r2 / most
        # Beyond r_max the logarithm is nan, but its slope 1 / (1 - stretch) is a number: a factor makes it nan, too.
        energy = -k / 2 * most * jnp.log1p(-stretch) * jnp.where(stretch < 1, 1, jnp.nan)
        if self.sigma is None or self.epsilon is None:
            return energy
        squared, epsilon = self.sigma.values(p) ** 2, self.epsilon.values(p)
        # "Not outside": a nan must stay one.
        outside = r2 >= 2 ** (1 / 3) * squared
        sixth = (squared / jnp.where(outside, 1, r2)) ** 3
        return energy + jnp.where(outside, 0, epsilon * (4 * sixth * (sixth - 1) + 1))


@POTENTIALS.register
class FeneBondSpec(Spec):
    """U = -(k/2) r_max^2 ln(1 - (r/r_max)^2) for each bond listed; a bond of r_max or longer stops the run.

    A Kremer-Grest chain is this with k = 30 epsilon/sigma^2, r_max = 1.5 sigma, and between all beads, bonded ones
    included, a ``lennard_jones`` with ``cutoff: {kind: shifted_potential, distance: 2^(1/6) sigma}`` (rest length
    0.97 sigma). That holds with ``exclusions: 0``, the default. With ``exclusions: 1`` or more, pair potentials leave
    bonded beads out; then give their repulsion here by ``sigma`` and ``epsilon``.
    """

    kind: Literal["fene_bond"] = "fene_bond"
    bonds: list[list[int]] | Chain = quantity(
        doc="Pairs of atoms, counted from zero, [[0, 1], [1, 2]]; or {chain: [first, last]}, each atom with its next."
    )
    k: NotNegative | list[NotNegative] | dict[str, NotNegative] = quantity(
        doc="Stiffness: U is k r^2 / 2 for short bonds. One for all, one per bond, or by types (A-B: 30.0).",
        unit="energy/length^2",
    )
    r_max: Positive | list[Positive] | dict[str, Positive] = quantity(
        doc="Length that a bond never reaches: one for all, one per bond, or by types.", unit="length"
    )
    sigma: NotNegative | list[NotNegative] | dict[str, NotNegative] | None = quantity(
        None,
        doc="Size of the beads for a repulsion within the bond (up to 2^(1/6) sigma); null: none.",
        unit="length",
    )
    epsilon: NotNegative | list[NotNegative] | dict[str, NotNegative] | None = quantity(
        None, doc="Strength of the repulsion within the bond; null: none.", unit="energy"
    )

    @model_validator(mode="after")
    def _both_or_neither(self) -> FeneBondSpec:
        if (self.sigma is None) != (self.epsilon is None):
            raise ValueError("the repulsion within a bond takes `sigma` and `epsilon`, both or neither")
        return self

    def build(self, context: BuildContext) -> Potential:
        """The potential.

        Raises:
            ConfigError: for an atom that is not there, or values that do not fit the bonds.
        """
        atoms = term_atoms(self.bonds, 2, context, "bonds")
        given = {"k": self.k, "r_max": self.r_max, "sigma": self.sigma, "epsilon": self.epsilon}
        values: dict[str, TermValue] = {}
        starts: dict[str, np.ndarray] = {}
        for name, value in given.items():
            if value is not None:
                values[name], start = term_value(
                    name, value, atoms, context.types, context.type_names, context.path(name)
                )
                starts |= start
        return FeneBond(starts, atoms, values["k"], values["r_max"], values.get("sigma"), values.get("epsilon"))
