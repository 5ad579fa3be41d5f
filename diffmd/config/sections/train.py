"""The `train` section: optimizer, epochs, when to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import diffmd.training  # noqa: F401 - registers the optimizers
from diffmd.spec import OPTIMIZERS, Spec, quantity

if TYPE_CHECKING:
    OptimizerSpec = Spec
else:
    OptimizerSpec = OPTIMIZERS.union()


class TrainSpec(Spec):
    """How `train` goes down the gradient."""

    epochs: int = quantity(doc="How many updates; each runs and differentiates every system once.", ge=0)
    optimizer: OptimizerSpec = quantity(doc="The rule of the updates.")
    clip: float | None = quantity(
        None, doc="The whole gradient is scaled down to this global norm where it is longer; null: never.", gt=0
    )
    patience: int | None = quantity(
        None, doc="Stops after so many epochs without a better loss; null: never.", unit="epochs", gt=0
    )
    min_delta: float = quantity(0.0, doc="A loss counts as better only if it is lower by more than this.", ge=0)
