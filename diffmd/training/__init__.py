"""Training: optimizers and schedules by name, and the loop. Importing this package registers every kind."""

from diffmd.training import first_order, lbfgs, schedules
from diffmd.training.optimizers import Optimizer, OptimizerSpec, OptimizerState, state_from_arrays, state_to_arrays
from diffmd.training.rules import Rule, Rules

__all__ = [
    "Optimizer",
    "OptimizerSpec",
    "OptimizerState",
    "Rule",
    "Rules",
    "first_order",
    "lbfgs",
    "schedules",
    "state_from_arrays",
    "state_to_arrays",
]
