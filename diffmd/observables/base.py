"""What an observable is: a function of one frame, or of the series of frames, giving an array."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Array, Float, Int

from diffmd.box import Box
from diffmd.dynamics.frame import Frame
from diffmd.errors import ConfigError
from diffmd.spec import Spec
from diffmd.system import System


class Observable(abc.ABC):
    """A measurement of one frame. Structure (selections, bins) is fixed; everything else comes from the frame."""

    @abc.abstractmethod
    def measure(self, frame: Frame) -> Array:
        """The value: () or a small array. Differentiable with respect to everything in the frame."""

    @property
    def grid(self) -> Float[Array, "bins"] | None:
        """Abscissa of a curve, such as the r of an RDF, onto which a two-column target is interpolated."""
        return None

    @property
    def configurational(self) -> bool:
        """Whether it depends on positions, box and potentials alone: not on velocities or the time."""
        return True

    made_configurational: ClassVar[str] = "take an observable of positions"
    """How to have one of positions in place of one that looks at velocities or the time, in a clause."""


class SeriesObservable(abc.ABC):
    """A measurement of a series of frames: a correlation in time, a fluctuation.

    Of each frame it keeps some arrays; its value is a function of all of them at the end of the run. No reduction over
    frames follows: the series is what it is taken over.
    """

    @abc.abstractmethod
    def measure(self, frame: Frame) -> dict[str, Array]:
        """What is kept of a frame. Keep ``frame.time`` where times matter."""

    @abc.abstractmethod
    def over(self, rows: Mapping[str, Float[Array, "frames ..."]]) -> Array:
        """The value, from what was kept of each frame, frames first, in order of time."""

    def abscissa(self, times: Float[np.ndarray, "frames"]) -> Float[np.ndarray, "points"] | None:
        """Abscissa of a curve whose points depend on the frames' times, such as the lags of a correlation."""
        return None

    @property
    def least_frames(self) -> int:
        """How many frames it takes."""
        return 2


class MeasuredSpec(Spec):
    """The section of an observable whose values have a unit; targets may be written in it.

    Attributes:
        measured: dimension of its values; `dimension` where it hangs on an option.
    """

    measured: ClassVar[str]

    @property
    def dimension(self) -> str:
        """Dimension of its values, such as ``energy/length^3``; ``1`` of pure numbers."""
        return self.measured


def dimension_of(section: Spec) -> str:
    """Dimension of the values of an observable's section; ``1`` where they have none, or none that is known."""
    return section.dimension if isinstance(section, MeasuredSpec) else "1"


ReadStructure = tuple[Float[np.ndarray, "atoms 3"], Box | None]


def _no_structure(file: str, frame: int, path: str) -> ReadStructure:
    raise ConfigError(f"structures cannot be read here ({file})", path)


def _no_function(reference: str, path: str) -> Callable[..., Any]:
    raise ConfigError(f"Python functions are not allowed here ({reference})", path)


@dataclasses.dataclass(frozen=True)
class ObservableContext:
    """What an observable's spec may look at when it builds itself. Files are opened by whoever fills in the context.

    Attributes:
        system: its atoms and units.
        box: the box at the start.
        name: the observable's path in the config (``loss.0.observable``), for errors.
        start: starting positions; None where a config is checked and nothing is drawn or read yet.
        read_structure: (file as the config has it, frame, path in the config of the section that names them, for
            errors) -> positions of a structure file, and its box where it has one. Where a config is checked without
            reading it gives zeros.
        load_function: (``./mine.py:function`` or ``package.module:function``, path in the config where it stands, for
            errors) -> the function.
        potentials: names of the system's potentials.
        bonds: pairs of atoms that potentials bond; along them the start, and the structures read, are whole.
    """

    system: System
    box: Box
    name: str
    start: Float[np.ndarray, "atoms 3"] | None = None
    read_structure: Callable[[str, int, str], ReadStructure] = _no_structure
    load_function: Callable[[str, str], Callable[..., Any]] = _no_function
    potentials: tuple[str, ...] = ()
    bonds: Int[np.ndarray, "bonds 2"] = dataclasses.field(default_factory=lambda: np.zeros((0, 2), int))

    def path(self, below: str) -> str:
        """Path in the config of what stands `below` this observable, for errors."""
        return f"{self.name}.{below}"
