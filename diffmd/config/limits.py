"""The least value that the schema allows of a number that is learned or scanned: a mass stays positive."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from diffmd.config.known import Known
from diffmd.config.schema import Config
from diffmd.paths import split


@dataclasses.dataclass(frozen=True)
class Limit:
    """Values may not be less than `least`, nor `least` itself where `strict`."""

    least: float = -math.inf
    strict: bool = False

    def refusal(self, value: Float[np.ndarray, "..."]) -> str:
        """What is wrong with a value: ``is -1, which must be more than 0``; empty if nothing is."""
        low = float(np.min(value, initial=math.inf))
        if low > self.least or (low == self.least and not self.strict):
            return ""
        return f"is {low:g}, which must be {'more than' if self.strict else 'at least'} {self.least:g}"


def limit_of(data: Mapping[str, Any], path: str, dimensions: int) -> Limit:
    """The limit of the number, or the array of `dimensions`, at `path` of a resolved config."""
    keys, known = split(path), Known(Config)
    # What becomes one value a type or a term has the limit of the one that it was.
    for depth in range(len(keys), 0, -1):
        try:
            nodes = known.nodes(data, keys[:depth])
        except KeyError:
            continue
        return _limit(nodes + [node["items"] for node in nodes if dimensions == 1 and "items" in node])
    return Limit()


def _limit(nodes: list[dict[str, Any]]) -> Limit:
    for node in nodes:
        if "exclusiveMinimum" in node:
            return Limit(float(node["exclusiveMinimum"]), True)
        if "minimum" in node:
            return Limit(float(node["minimum"]), False)
    return Limit()
