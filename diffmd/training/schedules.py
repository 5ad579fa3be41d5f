"""Learning rates that change with the epoch. The first update is made with the rate of step 0."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from diffmd.spec import SCHEDULES, Spec, quantity

if TYPE_CHECKING:
    import optax


class ScheduleSpec(Spec, abc.ABC):
    """A learning rate as a function of the number n of updates made so far."""

    @abc.abstractmethod
    def build(self) -> optax.Schedule:
        """n -> learning rate."""


@SCHEDULES.register
class ConstantSpec(ScheduleSpec):
    """The same rate at every epoch."""

    kind: Literal["constant"] = "constant"
    value: float = quantity(doc="The rate.", ge=0)

    def build(self) -> optax.Schedule:
        import optax

        return optax.constant_schedule(self.value)


@SCHEDULES.register
class CosineDecaySpec(ScheduleSpec):
    """init_value ((1 - alpha) ((1 + cos(pi min(n, N) / N)) / 2)^exponent + alpha), with N = decay_steps."""

    kind: Literal["cosine_decay"] = "cosine_decay"
    init_value: float = quantity(doc="Rate of the first epoch.", ge=0)
    decay_steps: int = quantity(doc="How long it decays.", unit="epochs", gt=0)
    alpha: float = quantity(0.0, doc="Lowest rate, as a fraction of init_value.", ge=0)
    exponent: float = quantity(1.0, doc="Exponent of the cosine.", gt=0)

    def build(self) -> optax.Schedule:
        import optax

        return optax.cosine_decay_schedule(self.init_value, self.decay_steps, self.alpha, self.exponent)


@SCHEDULES.register
class ExponentialDecaySpec(ScheduleSpec):
    """init_value decay_rate^((n - transition_begin) / transition_steps), from n = transition_begin on."""

    kind: Literal["exponential_decay"] = "exponential_decay"
    init_value: float = quantity(doc="Rate of the first epoch.", ge=0)
    transition_steps: int = quantity(doc="In so many epochs the rate is multiplied by decay_rate.", unit="epochs", gt=0)
    decay_rate: float = quantity(doc="Factor.", gt=0)
    transition_begin: int = quantity(0, doc="The decay begins after so many epochs.", unit="epochs", ge=0)
    staircase: bool = quantity(False, doc="Whether the exponent is rounded down to an integer.")
    end_value: float | None = quantity(
        None, doc="The rate stops here (a lower bound where decay_rate < 1, else an upper bound); null: nowhere.", ge=0
    )

    def build(self) -> optax.Schedule:
        import optax

        return optax.exponential_decay(
            self.init_value,
            self.transition_steps,
            self.decay_rate,
            self.transition_begin,
            self.staircase,
            self.end_value,
        )


@SCHEDULES.register
class WarmupCosineSpec(ScheduleSpec):
    """Linear from init_value to peak_value in warmup_steps, then half a cosine to end_value at decay_steps."""

    kind: Literal["warmup_cosine"] = "warmup_cosine"
    init_value: float = quantity(0.0, doc="Rate of the first epoch.", ge=0)
    peak_value: float = quantity(doc="Rate at the end of the warm-up.", ge=0)
    warmup_steps: int = quantity(doc="Length of the warm-up.", unit="epochs", ge=0)
    decay_steps: int = quantity(doc="Length of the whole schedule, warm-up included.", unit="epochs", gt=0)
    end_value: float = quantity(0.0, doc="Rate from decay_steps on.", ge=0)
    exponent: float = quantity(1.0, doc="Exponent of the cosine.", gt=0)

    @model_validator(mode="after")
    def _warm_up_ends(self) -> WarmupCosineSpec:
        if self.decay_steps <= self.warmup_steps:
            raise ValueError(f"decay_steps ({self.decay_steps}) must be more than warmup_steps ({self.warmup_steps})")
        if self.peak_value == 0 and self.exponent != 1:
            raise ValueError("an exponent needs a peak_value over 0")
        return self

    def build(self) -> optax.Schedule:
        import optax

        return optax.warmup_cosine_decay_schedule(
            self.init_value, self.peak_value, self.warmup_steps, self.decay_steps, self.end_value, self.exponent
        )


def _number_or_schedule(value: Any) -> str:
    return "schedule" if isinstance(value, (dict, ScheduleSpec)) else "number"


if TYPE_CHECKING:
    Rate = float | ScheduleSpec
else:
    Rate = Annotated[
        Annotated[float, Field(ge=0), Tag("number")] | Annotated[SCHEDULES.union(), Tag("schedule")],
        Discriminator(_number_or_schedule),
    ]
"""A learning rate in a config: a number, or a schedule."""


def schedule_of(rate: float | ScheduleSpec) -> optax.Schedule:
    """The schedule that a `Rate` stands for."""
    import optax

    return rate.build() if isinstance(rate, ScheduleSpec) else optax.constant_schedule(rate)
