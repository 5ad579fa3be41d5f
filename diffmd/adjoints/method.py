"""The `gradient` section of a config: a method that makes an adjoint, and says what it does not combine with."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from diffmd.adjoints.base import Adjoint
from diffmd.dynamics.base import Integrator, Thermostat
from diffmd.errors import ConfigError
from diffmd.objective import Objective
from diffmd.observables.base import Observable, SeriesObservable
from diffmd.potentials.base import Potential
from diffmd.spec import Spec


@dataclasses.dataclass(frozen=True)
class Measured:
    """One term of a loss, as far as a method cares: its path in the config, its observable, its reduction, how many
    frames it has (None where its schedule does not fit the run), and whether the last step is the only one."""

    path: str
    observable: Observable | SeriesObservable
    reduce: str
    frames: int | None = None
    at_end: bool = True


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a method may look at before it says whether it fits: one system of a config.

    Attributes:
        dynamics_path: of this system's dynamics in the config, for errors.
        integrator, thermostat: of the run.
        com_every: as in `Dynamics`.
        periodic: whether there is a box.
        potentials: those that are known before the run, by path.
        terms: those of the loss that are known before the run.
        parameters: paths as `parameters` has them, with globs.
        system_path: of this system in the config.
        precision: ``double`` or ``single``.
        each_epoch: whether `train` equilibrates anew in each epoch.
    """

    dynamics_path: str
    integrator: Integrator
    thermostat: Thermostat | None
    com_every: int
    periodic: bool
    potentials: Mapping[str, Potential]
    terms: tuple[Measured, ...]
    parameters: tuple[str, ...]
    system_path: str = "system"
    precision: str = "double"
    each_epoch: bool = False


@dataclasses.dataclass(frozen=True)
class Resources:
    """What a method may use: bytes of memory for what it stores."""

    memory: int


class MethodSpec(Spec, abc.ABC):
    """A gradient method with its options. Its ``method`` names it."""

    @abc.abstractmethod
    def adjoint(self, objective: Objective, resources: Resources) -> Adjoint:
        """The adjoint of an objective."""

    def problems(self, settings: Sequence[Setting]) -> Iterator[ConfigError]:
        """What of a config this method cannot differentiate, each with its path and a sentence."""
        return iter(())
