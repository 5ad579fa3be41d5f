"""The size and shape of molecules: radius of gyration, its tensor, what follows from it, and end-to-end distance."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffmd.observables.base import Frame, MeasuredSpec, Observable, ObservableContext
from diffmd.observables.eigenvalues import largest_eigenvalue
from diffmd.observables.molecules import MASSES, MOLECULES, UNWRAP, Molecules, molecules
from diffmd.observables.selection import ATOMS, TYPES
from diffmd.observables.superposition import covariance
from diffmd.observables.vectors import root, rounding
from diffmd.spec import OBSERVABLES


def gyration_tensors(frame: Frame, of: Molecules) -> Float[Array, "molecules 3 3"]:
    """S_ab = sum_i w_i (x_i - c)_a (x_i - c)_b of each molecule, c = sum_i w_i x_i, w adding up to one [length^2]."""
    x, w = of.positions(frame), of.weights(frame)
    d = x - jnp.sum(w[..., None] * x, axis=-2, keepdims=True)
    return covariance(d, d, w)


def _trace(s: Float[Array, "molecules 3 3"]) -> Float[Array, "molecules"]:
    return jnp.trace(s, axis1=-2, axis2=-1)


def _extent(frame: Frame, of: Molecules) -> Float[Array, "molecules"]:
    """Mean square of the coordinates, whose rounding is that of the tensor."""
    return jnp.mean(jnp.sum(of.positions(frame) ** 2, axis=-1), axis=-1)


@dataclasses.dataclass(frozen=True, eq=False)
class RadiusOfGyration(Observable):
    """R_g = sqrt(tr S) = sqrt(sum_i w_i |x_i - c|^2), the mean over molecules; S as in `gyration_tensors`."""

    molecules: Molecules

    def measure(self, frame: Frame) -> Float[Array, ""]:
        """R_g [length]."""
        return jnp.mean(root(_trace(gyration_tensors(frame, self.molecules)), _extent(frame, self.molecules)))


@dataclasses.dataclass(frozen=True, eq=False)
class GyrationTensor(Observable):
    """S_ab = sum_i w_i (x_i - c)_a (x_i - c)_b, the mean over molecules, in the axes of the laboratory."""

    molecules: Molecules

    def measure(self, frame: Frame) -> Float[Array, "3 3"]:
        """S [length^2]."""
        return jnp.mean(gyration_tensors(frame, self.molecules), axis=0)


@dataclasses.dataclass(frozen=True, eq=False)
class Asphericity(Observable):
    """b = l_3 - (l_1 + l_2) / 2 = (3 l_3 - tr S) / 2, l_3 the largest eigenvalue of S; the mean over molecules.

    Zero where S is isotropic (b has a cusp there, and derivative zero), and R_g^2 of a line.

    Source: D. N. Theodorou and U. W. Suter, Macromolecules 18, 1206 (1985).
    """

    molecules: Molecules

    def measure(self, frame: Frame) -> Float[Array, ""]:
        """b [length^2]."""
        s = gyration_tensors(frame, self.molecules)
        trace = _trace(s)
        return jnp.mean(3 * jax.vmap(largest_eigenvalue)(s, trace) - trace) / 2


@dataclasses.dataclass(frozen=True, eq=False)
class ShapeAnisotropy(Observable):
    """kappa^2 = 1 - 3 (l_1 l_2 + l_2 l_3 + l_3 l_1) / (tr S)^2 = (3 tr S^2 / (tr S)^2 - 1) / 2; mean over molecules.

    From 0, where S is isotropic, to 1 of a line; smooth, since it takes no eigenvalue apart. Atoms all at one place:
    0, with derivative zero.

    Source: D. N. Theodorou and U. W. Suter, Macromolecules 18, 1206 (1985), who call it relative shape anisotropy.
    """

    molecules: Molecules

    def measure(self, frame: Frame) -> Float[Array, ""]:
        """kappa^2, a pure number."""
        s = gyration_tensors(frame, self.molecules)
        trace = _trace(s)
        nowhere = trace <= rounding(trace) ** 2 * _extent(frame, self.molecules)
        s = s / jnp.where(nowhere, 1, trace)[:, None, None]
        return jnp.mean(jnp.where(nowhere, 0, (3 * jnp.sum(s * s, axis=(-2, -1)) - 1) / 2))


@dataclasses.dataclass(frozen=True, eq=False)
class EndToEnd(Observable):
    """|x_last - x_first| of each molecule, unwrapped and so at any length; the mean over molecules."""

    molecules: Molecules

    def measure(self, frame: Frame) -> Float[Array, ""]:
        """The distance [length]."""
        x = self.molecules.positions(frame)
        return jnp.mean(root(jnp.sum((x[:, -1] - x[:, 0]) ** 2, axis=-1), _extent(frame, self.molecules)))


class _MoleculesSpec(MeasuredSpec):
    atoms: list[int] | None = ATOMS
    types: list[str] | None = TYPES
    molecules: int = MOLECULES
    unwrap: bool | None = UNWRAP


class _WeighedSpec(_MoleculesSpec):
    masses: bool = MASSES

    def chosen(self, context: ObservableContext) -> Molecules:
        return molecules(context, self.atoms, self.types, self.molecules, masses=self.masses, unwrap=self.unwrap)


@OBSERVABLES.register
class RadiusOfGyrationSpec(_WeighedSpec):
    """Radius of gyration R_g [length] of the selected atoms, which should be a molecule, or several alike."""

    measured: ClassVar[str] = "length"
    kind: Literal["radius_of_gyration"] = "radius_of_gyration"

    def build(self, context: ObservableContext) -> Observable:
        """The observable. Raises ConfigError as `molecules` does."""
        return RadiusOfGyration(self.chosen(context))


@OBSERVABLES.register
class GyrationTensorSpec(_WeighedSpec):
    """Gyration tensor S (3 x 3) [length^2] of the selected atoms, which should be a molecule, or several alike."""

    measured: ClassVar[str] = "length^2"
    kind: Literal["gyration_tensor"] = "gyration_tensor"

    def build(self, context: ObservableContext) -> Observable:
        """The observable. Raises ConfigError as `molecules` does."""
        return GyrationTensor(self.chosen(context))


@OBSERVABLES.register
class AsphericitySpec(_WeighedSpec):
    """Asphericity b = l_3 - (l_1 + l_2) / 2 of the gyration tensor's eigenvalues [length^2]."""

    measured: ClassVar[str] = "length^2"
    kind: Literal["asphericity"] = "asphericity"

    def build(self, context: ObservableContext) -> Observable:
        """The observable. Raises ConfigError as `molecules` does."""
        return Asphericity(self.chosen(context))


@OBSERVABLES.register
class ShapeAnisotropySpec(_WeighedSpec):
    """Relative shape anisotropy kappa^2 of the gyration tensor, from 0 (isotropic) to 1 (a line)."""

    measured: ClassVar[str] = "1"
    kind: Literal["shape_anisotropy"] = "shape_anisotropy"

    def build(self, context: ObservableContext) -> Observable:
        """The observable. Raises ConfigError as `molecules` does."""
        return ShapeAnisotropy(self.chosen(context))


@OBSERVABLES.register
class EndToEndSpec(_MoleculesSpec):
    """Distance from the first to the last selected atom [length], or the mean of those of several molecules alike."""

    measured: ClassVar[str] = "length"
    kind: Literal["end_to_end"] = "end_to_end"

    def build(self, context: ObservableContext) -> Observable:
        """The observable. Raises ConfigError as `molecules` does."""
        found = molecules(context, self.atoms, self.types, self.molecules, masses=False, unwrap=self.unwrap)
        return EndToEnd(found)
