"""The method chosen by the number of parameters: forward mode for few, reverse mode for many."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from diffmd.adjoints.base import Adjoint, Gradient, Progress, Say, Stored, flat_size
from diffmd.adjoints.choice import of_the_path
from diffmd.adjoints.forward import Forward
from diffmd.adjoints.method import MethodSpec, Resources
from diffmd.adjoints.options import AVERAGE, REPLICAS, TRUNCATE, replicas_of
from diffmd.adjoints.propagator import Average, Replicas
from diffmd.adjoints.reverse.reverse import Reverse
from diffmd.objective import Objective, P, Ready
from diffmd.spec import METHODS, quantity


class Auto(Adjoint):
    """Forward mode for few numbers, reverse mode for more (`of_the_path`); which of them is known when `p` is."""

    def __init__(self, objective: Objective, memory: int, replicas: Replicas | None, truncate: int | None) -> None:
        self._objective, self._memory = objective, memory
        self._replicas, self._truncate = replicas, truncate
        self._chosen: Adjoint | None = None

    def _adjoint(self, p: P) -> Adjoint:
        if self._chosen is None:
            self._chosen = (
                Forward(self._objective, None, self._memory, self._replicas, self._truncate)
                if of_the_path(flat_size(p)) == "forward"
                else Reverse(self._objective, self._memory, self._replicas, self._truncate)
            )
        return self._chosen

    def gradient(self, ready: Ready, p: P, say: Say, progress: Progress) -> Gradient:
        """Loss and gradient at `p`, by the method chosen."""
        return self._adjoint(p).gradient(ready, p, say, progress)

    def steps(self, p: P) -> int:
        """As the method chosen."""
        return self._adjoint(p).steps(p)

    def stored(self, ready: Ready, p: P) -> Stored:
        """As the method chosen."""
        return self._adjoint(p).stored(ready, p)

    def planned(self, ready: Ready, p: P) -> int | None:
        """As the method chosen."""
        return self._adjoint(p).planned(ready, p)

    def runs(self, p: P) -> float | None:
        """As the method chosen."""
        return self._adjoint(p).runs(p)

    def temporary(self) -> int:
        """As the method chosen."""
        return 0 if self._chosen is None else self._chosen.temporary()


@METHODS.register
class AutoSpec(MethodSpec):
    """Forward mode where at most two numbers are learnt, reverse mode otherwise."""

    method: Literal["auto"] = "auto"
    memory: Literal["auto"] | Annotated[int, Field(gt=0)] = quantity(
        "auto",
        doc="Bytes that states and tangents may take; auto: half of the memory that the device has.",
        unit="bytes",
    )
    truncate: int | None = TRUNCATE
    replicas: int | None = REPLICAS
    average: Average = AVERAGE

    def adjoint(self, objective: Objective, resources: Resources) -> Adjoint:
        """See `MethodSpec`."""
        memory = resources.memory if self.memory == "auto" else self.memory
        return Auto(objective, memory, replicas_of(self.replicas, self.average), self.truncate)
