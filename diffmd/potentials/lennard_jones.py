"""The Lennard-Jones potential."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from pydantic import Field

from diffmd.potentials.base import BuildContext, PairPotential, Parameters, Potential
from diffmd.potentials.cutoffs import Cutoff, CutoffSpec, NoCutoffSpec
from diffmd.potentials.elementwise import reciprocal
from diffmd.potentials.values import Mixing, PairValue, pair_value
from diffmd.slopes import Slope
from diffmd.spec import POTENTIALS, Spec, quantity


def arithmetic_mean(a: Array, b: Array) -> Array:
    """(a + b) / 2."""
    return (a + b) / 2


def geometric_mean(a: Array, b: Array) -> Array:
    """sqrt(a b). Where it is zero the slope is infinite; the derivative is given as zero there.

    A negative product is nan, not zero: a well depth that training made negative must be seen.
    """
    product = a * b
    zero = product == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, product)))


MIXING: Mapping[str, tuple[Mixing, Mixing]] = {
    "lorentz_berthelot": (arithmetic_mean, geometric_mean),
    "geometric": (geometric_mean, geometric_mean),
}
"""Rule -> how sigma and how epsilon of unlike types are made."""


@dataclasses.dataclass(frozen=True, eq=False)
class LennardJones(PairPotential):
    """u(r) = 4 epsilon ((sigma/r)^12 - (sigma/r)^6); minimum -epsilon at r = 2^(1/6) sigma.

    The sweep sees u = C12/r^12 - C6/r^6 with C12 = 4 epsilon sigma^12 and C6 = 4 epsilon sigma^6 [energy length^12 and
    length^6]: linear in both, so that neither the sweep nor its adjoint computes powers of sigma for every pair.

    Attributes:
        parameters: starting values of ``sigma`` and ``epsilon``, or of ``sigma.C``, ``sigma.C-H``, ... .
        cutoff: distance beyond which u is zero, or None.
        truncated: whether the force jumps there.
        sigma, epsilon: how the numbers of a pair are looked up.
        mixing: key of `MIXING`.
        end: how u ends at the cutoff.

    Source: J. E. Lennard-Jones, Proc. Phys. Soc. 43, 461 (1931); mixing: M. P. Allen and D. J. Tildesley, Computer
    Simulation of Liquids, 2nd ed. (2017), section 1.3.
    """

    parameters: Mapping[str, np.ndarray]
    cutoff: float | None
    truncated: bool
    sigma: PairValue
    epsilon: PairValue
    mixing: str
    end: Cutoff

    def pair_parameters(self, p: Parameters) -> dict[str, Array]:
        """``c12`` and ``c6``: () where all pairs are alike, else (types, types)."""
        mix_sigma, mix_epsilon = MIXING[self.mixing]
        epsilon = self.epsilon.table(p, mix_epsilon)
        sixth = self.sigma.table(p, mix_sigma) ** 6
        c6 = 4 * epsilon * sixth
        return {"c12": c6 * sixth, "c6": c6}

    def slopes(self, p: Mapping[str, np.ndarray]) -> dict[str, Slope]:
        """Well depths of zero that are mixed with others, and sizes of zero: u goes as sigma^6."""
        geometric = self.mixing == "geometric"
        sizes, depths = self.sigma.nonzero(p, geometric), self.epsilon.nonzero(p, True)
        flat = Slope(
            False,
            "is 0, where the energy, which goes as sigma^6, is flat in it: no gradient leads away from there",
            "start from a positive number",
        )
        # Where the depth is zero, so is the energy, whatever the size.
        sizes_at_zero = dict.fromkeys(self.sigma.flat_at_zero(p, geometric, depths), flat)
        return {**self.epsilon.roots_at_zero(p, sizes), **sizes_at_zero}

    def pair_energy(self, r2: Array, q: Mapping[str, Array]) -> Array:
        """u [energy] at r2 [length^2], elementwise, cutoff included."""
        return self.end.apply(lennard_jones_energy, r2, q)


def lennard_jones_energy(r2: Array, q: Mapping[str, Array]) -> Array:
    """C12/r^12 - C6/r^6."""
    inverse = reciprocal(r2)
    sixth = inverse * inverse * inverse
    return (q["c12"] * sixth - q["c6"]) * sixth


NotNegative = Annotated[float, Field(ge=0)]


@POTENTIALS.register
class LennardJonesSpec(Spec):
    """u(r) = 4 epsilon ((sigma/r)^12 - (sigma/r)^6) between all pairs of atoms; the minimum is at 2^(1/6) sigma.

    ``sigma`` and ``epsilon`` are numbers, or mappings by type in which a pair (``C-H: 0.31``) overrides mixing.
    """

    kind: Literal["lennard_jones"] = "lennard_jones"
    sigma: NotNegative | dict[str, NotNegative] = quantity(
        doc="Distance at which u is zero: for all atoms, by type, and by pair of types.", unit="length"
    )
    epsilon: NotNegative | dict[str, NotNegative] = quantity(
        doc="Depth of the well: for all atoms, by type, and by pair of types.", unit="energy"
    )
    mixing: Literal["lorentz_berthelot", "geometric"] = quantity(
        "lorentz_berthelot",
        doc="Unlike types: lorentz_berthelot (mean sigma, geometric mean epsilon) or geometric (both geometric).",
    )
    cutoff: CutoffSpec = quantity(
        NoCutoffSpec(), doc="Where u ends, and how; a bare number truncates, null does not cut.", unit="length"
    )

    def build(self, context: BuildContext) -> Potential:
        """The potential.

        Raises:
            ConfigError: for a type without a value, an unknown type, or a pair given twice.
        """
        sigma, start_sigma = pair_value("sigma", self.sigma, context.type_names, context.path("sigma"))
        epsilon, start_epsilon = pair_value("epsilon", self.epsilon, context.type_names, context.path("epsilon"))
        end = self.cutoff.build()
        return LennardJones(
            {**start_sigma, **start_epsilon}, end.distance, end.truncated, sigma, epsilon, self.mixing, end
        )
