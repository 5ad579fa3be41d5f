"""What an observable is: a function of one frame, giving an array."""

from __future__ import annotations

import abc
import dataclasses

from jaxtyping import Array, Float

from diffmd.box import Box
from diffmd.dynamics.frame import Frame
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


@dataclasses.dataclass(frozen=True)
class ObservableContext:
    """What an observable's spec may look at when it builds itself.

    Attributes:
        system: its atoms and units.
        box: the box at the start.
        name: the observable's path in the config (``loss.0.observable``), for errors.
    """

    system: System
    box: Box
    name: str

    def path(self, below: str) -> str:
        """Path in the config of what stands `below` this observable, for errors."""
        return f"{self.name}.{below}"
