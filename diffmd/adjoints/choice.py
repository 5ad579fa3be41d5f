"""Which gradient method suits what: the rules of `method: auto` and of what ``gradient --dry-run`` recommends."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from diffmd.adjoints.base import Stored

FEW = 2
"""Up to so many numbers, carrying their tangents costs no more than the way back.

Measured by benchmarks/methods.py on two CPU cores, in runs of the plain simulation: forward mode 1.2, 2.1, 4.4 and 5.7
for one, two, four and eight numbers; reverse mode 2.7 whatever their number.
"""
_MANY = 50
"""Frames of which an average over an ensemble is worth its name."""


@dataclasses.dataclass(frozen=True)
class Recommendation:
    """A method and, in a sentence, why."""

    method: str
    reason: str


def of_the_path(numbers: int) -> Literal["forward", "reverse"]:
    """How to differentiate through the steps of a run, by how many numbers are learnt."""
    return "forward" if numbers <= FEW else "reverse"


def recommended(fitting: Mapping[str, Stored], numbers: int, steps: int, frames: int) -> Recommendation | None:
    """The method to take.

    Args:
        fitting: what each method that fits the config keeps.
        numbers: how many are learnt.
        steps: of the run.
        frames: of the loss, of the term that has fewest.
    """
    learnt = "one number is learnt" if numbers == 1 else f"{numbers} numbers are learnt"
    if "implicit" in fitting:
        return Recommendation(
            "implicit", "the run slides to a minimum, of which alone the derivative is taken: the way there is not kept"
        )
    if "reweight" in fitting and frames >= _MANY:
        return Recommendation(
            "reweight",
            f"the loss averages {frames} frames of an equilibrium: reweighting them takes no derivative of the motion, "
            "which chaos makes grow without bound over long runs",
        )
    if of_the_path(numbers) == "forward" and "forward" in fitting:
        return Recommendation(
            "forward",
            f"{learnt}: the derivative is carried along with the run, and no step has to be kept",
        )
    reverse = fitting.get("reverse")
    if reverse is not None and reverse.repeats > 1 and "reversible" in fitting:
        return Recommendation(
            "reversible", f"{steps} steps do not fit into the memory, nor do checkpoints of them without repeating it "
            "twice; undoing the run keeps nothing"
        )  # fmt: skip
    if reverse is not None:
        kept = f"kept at checkpoints and run {reverse.repeats + 1} times" if reverse.repeats else "kept in memory"
        return Recommendation(
            "reverse", f"{learnt}: one way back gives all derivatives, whatever their number; its steps are {kept}"
        )
    path = next((name for name in ("forward", "reversible", "reweight", "finite-difference") if name in fitting), None)
    return None if path is None else Recommendation(path, "it is the one that fits the config")
