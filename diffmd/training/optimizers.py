"""What an optimizer is, and how its state is kept in a checkpoint."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from diffmd.errors import OutputError
from diffmd.paths import group_name
from diffmd.spec import Spec
from diffmd.training.rules import Rules, Values

ValueAndGrad = Callable[[Values], tuple[float, Values]]
"""p -> (loss, dL/dp), both at physical values; runs on the host and may raise NumericalError."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class OptimizerState:
    """What an optimizer remembers between updates.

    Attributes:
        epoch: number of updates made.
        inner: optax's state, of the unconstrained variables.
    """

    epoch: Int[Array, ""]
    inner: Any


class Optimizer(abc.ABC):
    """Makes one update a call. Parameters and gradients are physical; what is unconstrained stays inside."""

    @abc.abstractmethod
    def init(self, p: Values) -> OptimizerState:
        """The state before the first update. Raises ConfigError where p breaks its bounds or is not positive."""

    @abc.abstractmethod
    def update(
        self, p: Values, loss: float, gradients: Values, state: OptimizerState, value_and_grad: ValueAndGrad
    ) -> tuple[Values, OptimizerState, float]:
        """One update.

        Args:
            p: physical values by path.
            loss: L(p).
            gradients: dL/dp, by the same paths.
            state: of `init` or of the update before.
            value_and_grad: for optimizers that try several steps; called as often as they need.

        Returns:
            the new values, in the dtype of the old; the new state; the learning rate (or step length) used.
        """


class OptimizerSpec(Spec, abc.ABC):
    """An optimizer in a config."""

    @abc.abstractmethod
    def optimizer(self, rules: Rules, clip: float | None) -> Optimizer:
        """The optimizer for parameters under `rules`.

        Args:
            rules: bounds, transforms and learning rates by path.
            clip: where the global norm of the physical gradient is longer, it is scaled down to this; None: never.

        Raises:
            ConfigError: the rules or the clipping do not go with this optimizer.
        """


def state_to_arrays(state: OptimizerState) -> dict[str, np.ndarray]:
    """Every array of a state by its place in it, for a checkpoint; names hold no slash."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {_name(place): np.asarray(leaf) for place, leaf in leaves}


def state_from_arrays(template: OptimizerState, arrays: Mapping[str, np.ndarray]) -> OptimizerState:
    """The state that `state_to_arrays` took apart, bit for bit.

    Args:
        template: a state of the same optimizer and parameters (`Optimizer.init` makes one); its values do not matter.
        arrays: what `state_to_arrays` gave.

    Raises:
        OutputError: the arrays are of another optimizer or of other parameters.
    """
    places, structure = jax.tree_util.tree_flatten_with_path(template)
    wanted = {_name(place): leaf for place, leaf in places}
    differing = sorted(set(wanted) ^ set(arrays)) + sorted(
        name
        for name in set(wanted) & set(arrays)
        if (np.shape(arrays[name]), np.asarray(arrays[name]).dtype) != (np.shape(wanted[name]), wanted[name].dtype)
    )
    if differing:
        raise OutputError(
            f"the saved optimizer state is of another optimizer or other parameters: {differing[0]} differs"
        )
    return jax.tree_util.tree_unflatten(structure, [jnp.asarray(arrays[name]) for name in wanted])


def _name(place: tuple[Any, ...]) -> str:
    # In HDF5 a slash makes a group, and parameter paths have them (weights.0/weight).
    return group_name(jax.tree_util.keystr(place))
