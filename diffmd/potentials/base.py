"""What a potential is: three families, by what the force field needs to know of them.

`PairPotential` gives a scalar u(r^2) and is summed by the pair sweep; `TermPotential` gives an energy per listed term
(bond, angle) from its bond vectors; `TermForce` gives the force along those vectors directly; `EnergyPotential` gives
the whole energy and is differentiated by JAX. A potential holds structure and starting values; the values in force
come in as ``p``, a mapping from the parameter's path below the potential (``sigma``, ``sigma.C-H``) to its array.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np
from jaxtyping import Array, Float, Int

from diffmd.box import Box
from diffmd.errors import ConfigError
from diffmd.slopes import Slope

Parameters = Mapping[str, Array]
"""Parameters of one potential, by path below it."""


class Potential(abc.ABC):
    """An interaction. `parameters` are its starting values: path below the potential -> number(s)."""

    parameters: Mapping[str, np.ndarray]

    def slopes(self, p: Mapping[str, np.ndarray]) -> dict[str, Slope]:
        """Those of its parameters whose derivative at the values `p` is infinite, or zero wherever the atoms are."""
        return {}


class PairPotential(Potential):
    """A pairwise-additive potential U = sum over pairs i < j of u(r_ij^2; parameters of the pair)."""

    cutoff: float | None
    """Distance beyond which u is exactly zero; None for all distances."""
    truncated: bool
    """Whether u jumps at the cutoff (plain truncation), so that a crossing trajectory is not differentiable."""
    cutoff_key: ClassVar[str] = "cutoff.distance"
    """Where the cutoff stands in the potential's section."""

    @abc.abstractmethod
    def pair_parameters(self, p: Parameters) -> dict[str, Array]:
        """Parameters of a pair: each () for all pairs alike, (types, types) by the pair's types, symmetric."""

    @abc.abstractmethod
    def pair_energy(self, r2: Array, q: Mapping[str, Array]) -> Array:
        """u, elementwise: `r2` of any shape, each entry of `q` a scalar or of r2's shape. The cutoff is inside."""


class TermPotential(Potential):
    """A sum over listed terms of an energy of the term's consecutive vectors v_k = x_{k+1} - x_k (minimum image)."""

    atoms: Int[np.ndarray, "terms arity"]
    """The atoms of each term, in order."""
    limit: ClassVar[str | None] = None
    """The field with the length that a link never reaches; None where there is none."""

    @abc.abstractmethod
    def term_energies(self, p: Parameters, v: Float[Array, "terms links 3"]) -> Float[Array, "terms"]:
        """Energy of each term; links = arity - 1. Each term's energy depends on its own row alone."""


class TermForce(Potential):
    """As `TermPotential`, but the derivative with respect to the vectors is given, not derived."""

    atoms: Int[np.ndarray, "terms arity"]
    limit: ClassVar[str | None] = None
    """As in `TermPotential`."""

    @abc.abstractmethod
    def term_gradients(self, p: Parameters, v: Float[Array, "terms links 3"]) -> Float[Array, "terms links 3"]:
        """dU/dv of each term: the force on the last atom of a link is its negative."""

    @abc.abstractmethod
    def term_energies(self, p: Parameters, v: Float[Array, "terms links 3"]) -> Float[Array, "terms"]:
        """Energy of each term whose gradient `term_gradients` is; used for reports only, never for forces."""


class EnergyPotential(Potential):
    """Any energy of all positions; forces by automatic differentiation."""

    cutoff: float | None
    cutoff_key: ClassVar[str] = "cutoff"
    """Where the cutoff stands in the potential's section."""

    @abc.abstractmethod
    def energy(
        self, p: Parameters, positions: Float[Array, "atoms 3"], box: Box, neighbors: object
    ) -> Float[Array, ""]:
        """Total energy. `neighbors` is the current `Neighbors` of the force field."""


def _no_weights(path: str) -> Mapping[str, np.ndarray]:
    raise ConfigError(f"weights cannot be read here ({path})")


def _no_curve(path: str) -> Float[np.ndarray, "points 2"]:
    raise ConfigError(f"curves cannot be read here ({path})")


def _no_function(reference: str) -> Callable[..., Array]:
    raise ConfigError(f"Python functions are not allowed here ({reference})")


@dataclasses.dataclass(frozen=True)
class BuildContext:
    """What a potential's spec may look at when it builds itself. Files are opened by whoever fills in the context.

    Attributes:
        name: the user's name of the potential, for errors.
        type_names: the types of the system, in order.
        types: type index of each atom.
        seed: integer seed of this potential's random numbers (first weights): a function of (seed, path).
        folder: the config's folder, for relative paths.
        read_weights: path as the config has it -> arrays of a network by leaf (``0/weight``, ``0/bias``, ...).
        load_function: ``./mine.py:energy`` or ``package.module:function`` -> the function.
        read_curve: path as the config has it -> the points of a curve, abscissa increasing.
    """

    name: str
    type_names: tuple[str, ...]
    types: Int[np.ndarray, "atoms"]
    seed: int
    folder: str
    read_weights: Callable[[str], Mapping[str, np.ndarray]] = _no_weights
    load_function: Callable[[str], Callable[..., Array]] = _no_function
    read_curve: Callable[[str], Float[np.ndarray, "points 2"]] = _no_curve

    def path(self, below: str) -> str:
        """Path in the config of what stands `below` this potential, for errors."""
        return f"potentials.{self.name}.{below}"
