"""The whole config: every section, every default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import diffmd.potentials  # noqa: F401 - registers the potentials
from diffmd.adjoints.methods import ReverseSpec
from diffmd.config.sections.common import Name
from diffmd.config.sections.dynamics import DynamicsSpec
from diffmd.config.sections.loss import LossTermSpec
from diffmd.config.sections.output import OutputSpec
from diffmd.config.sections.parameters import Parameter
from diffmd.config.sections.system import SystemSpec
from diffmd.config.sections.train import TrainSpec
from diffmd.spec import METHODS, POTENTIALS, Spec, quantity

if TYPE_CHECKING:
    MethodSpec = Spec
    PotentialSpec = Spec
else:
    MethodSpec = METHODS.union()
    PotentialSpec = POTENTIALS.union()


class NamedSystemSpec(Spec):
    """One of several systems that share one set of parameters."""

    weight: float = quantity(1.0, doc="Factor of this system's loss in the sum.", ge=0)
    system: SystemSpec = quantity(doc="The atoms and their box.")
    potentials: dict[Name, PotentialSpec] = quantity(
        {}, doc="Potentials of this system alone, added to the shared ones."
    )
    dynamics: DynamicsSpec | None = quantity(None, doc="In place of the shared dynamics, as a whole; null: shared.")
    loss: list[LossTermSpec] | None = quantity(None, doc="In place of the shared loss; null: the shared one.")


class Config(Spec):
    """A diffmd config."""

    schema_version: Literal[1] = quantity(1, doc="Version of this schema.")
    seed: int = quantity(
        0, doc="Seed of every random number: positions, velocities, noise, first weights.", ge=0, lt=2**63
    )
    units: Literal["reduced", "md"] = quantity(
        "reduced",
        doc="reduced: k_B = 1; md: nm, ps, g/mol, kJ/mol, K, e (k_B = 8.31446261815324e-3), or numbers with their "
        "units: 3.4 A, 2 fs, 1 kcal/mol. Angles are radians, or 110 deg, in both.",
    )
    precision: Literal["double", "single"] = quantity("double", doc="64-bit or 32-bit floating point.")
    system: SystemSpec | None = quantity(None, doc="The atoms and their box.")
    systems: dict[Name, NamedSystemSpec] | None = quantity(
        None, doc="Several named systems in place of `system`; the objective is the weighted sum of their losses."
    )
    potentials: dict[Name, PotentialSpec] = quantity({}, doc="A name of your own -> a potential.")
    dynamics: DynamicsSpec | None = quantity(
        None, doc="How the atoms move; may be left out only where every named system has its own."
    )
    output: OutputSpec = quantity(OutputSpec(), doc="What a run records.")
    loss: list[LossTermSpec] = quantity([], doc="The loss: the sum of these terms.")
    parameters: list[Parameter] = quantity([], doc="What gradients are taken with respect to.")
    gradient: MethodSpec = quantity(ReverseSpec(), doc="How gradients are computed.")
    train: TrainSpec | None = quantity(None, doc="How `train` goes down the gradient.")
