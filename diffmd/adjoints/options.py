"""Fields that several gradient methods share."""

from __future__ import annotations

from diffmd.adjoints.propagator import Average, Replicas
from diffmd.adjoints.replicas.mesh import devices_for
from diffmd.spec import quantity

TRUNCATE = quantity(
    None,
    doc="Gradients stop so many steps back: the derivative of the state is cut before steps N - n, N - 2n, ... of a "
    "run of N; null: never.",
    unit="steps",
    gt=0,
)
CLIP = quantity(
    None,
    doc="The norm of the loss's gradient with respect to the state (positions and velocities) is scaled down to this "
    "at every step; null: never. With replicas that of each one's own loss, so that it means the same however many "
    "they are.",
    gt=0,
)
REPLICAS = quantity(
    None,
    doc="Independent runs (other random velocities, positions and noise) whose mean gradient is reported with its "
    "standard error; null: the one run. Velocities and positions that are learned are the same in all of them.",
    ge=2,
    le=100_000,
)
AVERAGE = quantity(
    "loss", doc="What is averaged over replicas: each one's loss, or the reduced observable before it is compared."
)


def replicas_of(count: int | None, average: Average = "loss") -> Replicas | None:
    """The replicas that a config asks for, over the devices of the kind that computes."""
    return None if count is None else Replicas(count, average, devices_for(count))
