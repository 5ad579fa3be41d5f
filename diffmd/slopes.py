"""Numbers at which an energy or a step has no derivative to learn from."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Slope:
    """What is odd about the derivative with respect to a number at its value; declared by what has the number.

    Attributes:
        infinite: whether it is infinite; else it is zero wherever the atoms are.
        why: goes on after the number's path, such as ``is 0, and ...``.
        remedy: what to write instead.
    """

    infinite: bool
    why: str
    remedy: str


AT_REST = Slope(
    True,
    "cannot be learned from 0: velocities follow its square root, whose derivative is infinite there",
    "start from a small number",
)
"""Of a number that scales velocities, or noise, by a square root that is zero."""
