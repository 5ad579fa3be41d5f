"""Optimizers that turn one gradient into one step: optax's, with its argument names."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import jax.numpy as jnp
from jaxtyping import Array

from diffmd.programs import Program
from diffmd.spec import OPTIMIZERS, quantity
from diffmd.training.optimizers import Optimizer, OptimizerSpec, OptimizerState, ValueAndGrad
from diffmd.training.rules import Rules, Values
from diffmd.training.schedules import Rate, schedule_of

if TYPE_CHECKING:
    import optax


class FirstOrderSpec(OptimizerSpec, abc.ABC):
    """An optax transformation with a learning rate."""

    kind: str
    learning_rate: Rate = quantity(doc="Learning rate: a number, or a schedule over epochs.")

    @abc.abstractmethod
    def build(self) -> optax.GradientTransformation:
        """The transformation: gradient -> what is added to the parameters."""

    def optimizer(self, rules: Rules, clip: float | None) -> Optimizer:
        """See `OptimizerSpec`. A parameter with a learning rate of its own gets its own copy of the transformation."""
        import optax

        rates = rules.learning_rates
        base = self.build()
        schedule = schedule_of(self.learning_rate)
        transforms = {path: self.model_copy(update={"learning_rate": rate}).build() for path, rate in rates.items()}
        clipping = optax.identity() if clip is None else optax.clip_by_global_norm(clip)

        def label(u: Values) -> dict[str, str]:
            return {path: path if path in transforms else "" for path in u}

        whole = optax.multi_transform({"": base, **transforms}, label) if transforms else base

        def step(p: Values, gradients: Values, state: OptimizerState) -> tuple[Values, OptimizerState, Array]:
            clipped, _ = clipping.update(gradients, optax.EmptyState())
            u = rules.to_free(p)
            updates, inner = whole.update(rules.free_gradient(p, clipped), state.inner, u)
            p_new = rules.to_physical(optax.apply_updates(u, updates))
            return p_new, OptimizerState(state.epoch + 1, inner), jnp.asarray(schedule(state.epoch))

        return FirstOrder(rules, whole, Program(step))


@dataclasses.dataclass(frozen=True)
class FirstOrder(Optimizer):
    """An optax transformation under rules.

    Attributes:
        rules: bounds, transforms, learning rates.
        transform: optax's, of the unconstrained variables.
        step: (p, gradients, state) -> (p, state, learning rate), compiled.
    """

    rules: Rules
    transform: optax.GradientTransformation
    step: Callable[[Values, Values, OptimizerState], tuple[Values, OptimizerState, Array]]

    def init(self, p: Values) -> OptimizerState:
        """See `Optimizer`."""
        self.rules.check(p)
        values = {path: jnp.asarray(x) for path, x in p.items()}
        return OptimizerState(jnp.asarray(0), self.transform.init(self.rules.to_free(values)))

    def update(
        self, p: Values, loss: float, gradients: Values, state: OptimizerState, value_and_grad: ValueAndGrad
    ) -> tuple[Values, OptimizerState, float]:
        """See `Optimizer`; the loss itself is not looked at."""
        p_new, state, rate = self.step(p, gradients, state)
        return p_new, state, float(rate)


@OPTIMIZERS.register
class SgdSpec(FirstOrderSpec):
    """Gradient descent: p -= rate g; with momentum m: t = g + m t, p -= rate t (nesterov: p -= rate (g + m t))."""

    kind: Literal["sgd"] = "sgd"
    momentum: float | None = quantity(None, doc="Decay m of the accumulated gradient; null: none.", ge=0, lt=1)
    nesterov: bool = quantity(False, doc="Whether the momentum looks ahead.")

    def build(self) -> optax.GradientTransformation:
        import optax

        return optax.sgd(schedule_of(self.learning_rate), self.momentum, self.nesterov)


@OPTIMIZERS.register
class AdamSpec(FirstOrderSpec):
    """Adam (Kingma and Ba, arXiv:1412.6980): p -= rate m / (sqrt(v) + eps); m, v: unbiased running means of g, g^2."""

    kind: Literal["adam"] = "adam"
    b1: float = quantity(0.9, doc="Decay of the mean of g.", ge=0, lt=1)
    b2: float = quantity(0.999, doc="Decay of the mean of g^2.", ge=0, lt=1)
    eps: float = quantity(1e-8, doc="Added to sqrt(v).", ge=0)

    def build(self) -> optax.GradientTransformation:
        import optax

        return optax.adam(schedule_of(self.learning_rate), self.b1, self.b2, self.eps)


@OPTIMIZERS.register
class AdamwSpec(FirstOrderSpec):
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101): also p -= rate weight_decay p.

    Under ``transform: positive`` the decay is of the unconstrained variable.
    """

    kind: Literal["adamw"] = "adamw"
    b1: float = quantity(0.9, doc="Decay of the mean of g.", ge=0, lt=1)
    b2: float = quantity(0.999, doc="Decay of the mean of g^2.", ge=0, lt=1)
    eps: float = quantity(1e-8, doc="Added to sqrt(v).", ge=0)
    weight_decay: float = quantity(1e-4, doc="Strength of the decay.", ge=0)

    def build(self) -> optax.GradientTransformation:
        import optax

        return optax.adamw(schedule_of(self.learning_rate), self.b1, self.b2, self.eps, weight_decay=self.weight_decay)


@OPTIMIZERS.register
class RmspropSpec(FirstOrderSpec):
    """RMSProp (Hinton 2012): p -= rate g / sqrt(v + eps), v the running mean of g^2; momentum accumulates the steps."""

    kind: Literal["rmsprop"] = "rmsprop"
    decay: float = quantity(0.9, doc="Decay of the mean of g^2.", ge=0, lt=1)
    eps: float = quantity(1e-8, doc="Added to v.", ge=0)
    momentum: float | None = quantity(None, doc="Decay of the accumulated steps; null: none.", ge=0, lt=1)

    def build(self) -> optax.GradientTransformation:
        import optax

        return optax.rmsprop(schedule_of(self.learning_rate), self.decay, self.eps, momentum=self.momentum)
