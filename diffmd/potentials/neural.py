"""Bonds whose energy or force is a neural network of the distance."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import Field, model_validator

from diffmd.errors import ConfigError
from diffmd.potentials.base import BuildContext, Parameters, Potential, TermForce, TermPotential
from diffmd.potentials.elementwise import safe_norm
from diffmd.potentials.term_lists import Chain, term_atoms
from diffmd.spec import POTENTIALS, Spec, quantity

PREFIX = "weights."
_QUADRATURE = 64


def _identity(x: Array) -> Array:
    return x


ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "identity": _identity,
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "silu": jax.nn.silu,
    "gelu": jax.nn.gelu,
    "elu": jax.nn.elu,
}
Activation = Literal["identity", "relu", "tanh", "sigmoid", "softplus", "silu", "gelu", "elu"]


def glorot_weights(sizes: Sequence[int], seed: int) -> dict[str, np.ndarray]:
    """First weights of a multilayer perceptron with layers of `sizes`: ``0/weight`` (out, in), ``0/bias`` (out,), ...

    Weights are uniform in +-sqrt(6 / (in + out)), biases zero (X. Glorot and Y. Bengio, AISTATS 2010). The numbers are
    the leading 53 bits of the Philox counter-based generator's raw output, keyed by (seed, layer): a function of the
    seed alone, whatever the NumPy version.
    """
    weights = {}
    for layer, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        raw = np.random.Philox(key=np.array([seed % 2**64, layer], dtype=np.uint64)).random_raw(n_in * n_out)
        uniform = (raw >> np.uint64(11)).astype(float) * 2.0**-53
        bound = np.sqrt(6 / (n_in + n_out))
        weights[f"{layer}/weight"] = (bound * (2 * uniform - 1)).reshape(n_out, n_in)
        weights[f"{layer}/bias"] = np.zeros(n_out)
    return weights


def perceptron(p: Parameters, activations: Sequence[str], x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """h_0 = x, h_{l+1} = activation_l(W_l h_l + b_l): one number to one number; `p` holds ``weights.0/weight``, ..."""
    h = x[..., None]
    for layer, name in enumerate(activations):
        w, b = p[f"{PREFIX}{layer}/weight"], p[f"{PREFIX}{layer}/bias"]
        # The default precision of a matrix product on a GPU may have 10 bits.
        h = ACTIVATIONS[name](jnp.matmul(h, w.T, precision=jax.lax.Precision.HIGHEST) + b)
    return h[..., 0]


@dataclasses.dataclass(frozen=True, eq=False)
class NeuralBondEnergy(TermPotential):
    """U = NN(r) for each bond of length r: the network gives the energy."""

    parameters: Mapping[str, np.ndarray]
    atoms: Int[np.ndarray, "bonds 2"]
    activations: tuple[str, ...]

    def term_energies(self, p: Parameters, v: Float[Array, "bonds 1 3"]) -> Float[Array, "bonds"]:
        """NN(r) [energy]; coincident atoms feel no force."""
        return perceptron(p, self.activations, safe_norm(v[:, 0]))


@dataclasses.dataclass(frozen=True, eq=False)
class NeuralBondForce(TermForce):
    """dU/dr = NN(r) for each bond of length r: the network gives the force, and where it is positive it attracts.

    The force on atom j of a bond i-j is -NN(r) (x_j - x_i) / r, as in the third example of Molly's documentation on
    differentiable simulation. Coincident atoms feel none.
    """

    parameters: Mapping[str, np.ndarray]
    atoms: Int[np.ndarray, "bonds 2"]
    activations: tuple[str, ...]

    def term_gradients(self, p: Parameters, v: Float[Array, "bonds 1 3"]) -> Float[Array, "bonds 1 3"]:
        """NN(r) v / r [energy/length]."""
        r = safe_norm(v[:, 0])
        scale = perceptron(p, self.activations, r) / jnp.where(r == 0, 1, r)
        return (jnp.where(r == 0, 0, scale)[:, None] * v[:, 0])[:, None]

    def term_energies(self, p: Parameters, v: Float[Array, "bonds 1 3"]) -> Float[Array, "bonds"]:
        """The integral of NN from 0 to r [energy], by Gauss-Legendre quadrature with 64 points.

        For smooth activations this is exact to rounding unless the network bends within a hundredth of r; each kink of
        a relu costs at most about 2e-4 of (change of slope) r^2.
        """
        nodes, weights = np.polynomial.legendre.leggauss(_QUADRATURE)
        r = safe_norm(v[:, 0])
        values = perceptron(p, self.activations, r[:, None] * jnp.asarray((nodes + 1) / 2, r.dtype))
        return r * jnp.sum(values * jnp.asarray(weights / 2, r.dtype), axis=-1)


class WeightsFile(Spec):
    """Weights from a file, such as the ``weights.h5`` that ``train`` leaves."""

    kind: Literal["file"] = "file"
    path: str = Field(description="The file; relative paths start at the config's folder.")


@POTENTIALS.register
class NeuralBondSpec(Spec):
    """A multilayer perceptron NN(r) of the bond length r, one number to one number, shared by the bonds listed.

    ``output: force``: dU/dr = NN(r), so that a positive value pulls the two atoms together. ``output: energy``:
    U = NN(r). Weights start as Glorot uniform numbers (a function of the config's seed and this potential's path),
    biases as zero. Its parameters are ``weights.0/weight`` (out, in), ``weights.0/bias`` (out), ``weights.1/weight``...
    """

    kind: Literal["neural_bond"] = "neural_bond"
    bonds: list[list[int]] | Chain = quantity(
        doc="Pairs of atoms, counted from zero, [[0, 1], [1, 2]]; or {chain: [first, last]}, each atom with its next."
    )
    widths: list[Annotated[int, Field(ge=1, le=4096)]] = Field(
        default=[5], description="Width of each hidden layer.", json_schema_extra={"unit": "1"}
    )
    activations: list[Activation] = Field(
        default=["relu", "tanh"],
        description="Activation of each layer, the last one included: one more than there are widths.",
    )
    output: Literal["force", "energy"] = quantity(
        "force", doc="What the network gives: the force dU/dr along the bond (positive attracts), or the energy."
    )
    weights: WeightsFile | None = Field(default=None, description="Where the weights come from; null: random.")

    @model_validator(mode="after")
    def _one_activation_per_layer(self) -> NeuralBondSpec:
        if len(self.activations) != len(self.widths) + 1:
            needed = len(self.widths) + 1
            raise ValueError(f"widths {self.widths} need {needed} activations, one per layer, not {self.activations}")
        return self

    def build(self, context: BuildContext) -> Potential:
        """The potential; `context.read_weights` reads a file of weights.

        Raises:
            ConfigError: for an atom that is not there, or weights that do not fit the widths.
        """
        atoms = term_atoms(self.bonds, 2, context, "bonds")
        weights = glorot_weights([1, *self.widths, 1], context.seed)
        if self.weights is not None:
            read = context.read_weights(self.weights.path)
            _check_weights(weights, read, context.path("weights"))
            weights = {name: np.asarray(read[name], dtype=float) for name in weights}
        parameters = {PREFIX + name: value for name, value in weights.items()}
        activations = tuple(self.activations)
        if self.output == "force":
            return NeuralBondForce(parameters, atoms, activations)
        return NeuralBondEnergy(parameters, atoms, activations)


def _check_weights(expected: Mapping[str, np.ndarray], read: Mapping[str, np.ndarray], path: str) -> None:
    for name in sorted({*expected, *read}):
        want = expected[name].shape if name in expected else None
        have = np.shape(read[name]) if name in read else None
        if want != have:
            what = f"{name} is missing from the file" if have is None else f"{name} in the file has shape {have}"
            raise ConfigError(f"{what}; the widths ask for {want or 'no such layer'}", path)
