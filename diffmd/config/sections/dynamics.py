"""The `dynamics` section: integrator, thermostat, number of steps, neighbour lists, equilibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

import diffmd.dynamics  # noqa: F401 - registers the integrators and thermostats
from diffmd.spec import INTEGRATORS, THERMOSTATS, Spec, quantity

if TYPE_CHECKING:
    IntegratorSpec = Spec
    ThermostatSpec = Spec
else:
    IntegratorSpec = INTEGRATORS.union()
    ThermostatSpec = THERMOSTATS.union()


class NeighborsSpec(Spec):
    """How pairs within the cutoff are found. Every kind gives the same pairs."""

    kind: Literal["auto", "all_pairs", "cell_list"] = quantity(
        "auto", doc="all_pairs: every pair, every step; cell_list: lists built from cells; auto: whichever is quicker."
    )
    skin: float = quantity(
        0.2,
        doc="Lists reach this far beyond the cutoff, so that they last for several steps; 0: no lists, all pairs.",
        unit="length",
        ge=0,
    )
    every: Annotated[int, Field(gt=0)] | Literal["auto"] = quantity(
        "auto",
        doc="Steps between two builds of the list; auto: by the largest displacement. Either way a list that an atom "
        "has outrun (displacement over skin/2) is found out and the steps are run again.",
        unit="steps",
    )


class EquilibrationSpec(Spec):
    """Steps run before the trajectory starts; not recorded, not differentiated.

    `train` equilibrates with the starting parameters (unless `each_epoch`), and the best.yaml that it leaves does so
    with the learned ones: its loss need not be the best loss to the digit.
    """

    steps: int = quantity(doc="How many steps.", unit="steps", ge=0, le=10_000_000_000)
    integrator: IntegratorSpec | None = quantity(None, doc="Integrator of these steps; null: the run's own.")
    thermostat: ThermostatSpec | None = quantity(None, doc="Thermostat of these steps; null: none.")
    each_epoch: bool = quantity(
        False, doc="Whether `train` equilibrates anew in each epoch, with that epoch's parameters; else once."
    )


class DynamicsSpec(Spec):
    """How the atoms move."""

    integrator: IntegratorSpec = quantity(doc="What advances positions and velocities by one time step.")
    thermostat: ThermostatSpec | None = quantity(None, doc="What sets the temperature after each step; null: nothing.")
    steps: int = quantity(doc="Number of time steps; 0 measures the start.", unit="steps", ge=0, le=10_000_000_000)
    neighbors: NeighborsSpec = quantity(NeighborsSpec(), doc="How pairs within the cutoff are found.")
    remove_com_motion: int = quantity(
        0, doc="Takes the centre of mass's velocity away every so many steps; 0: never.", unit="steps", ge=0
    )
    equilibration: EquilibrationSpec | None = quantity(None, doc="Steps run before the trajectory starts; null: none.")
