"""The radial distributions that a run's loss aims at, for pictures to draw beside what came out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from diffmd.commands.look.labels import Labels
from diffmd.config.curves import read_curve
from diffmd.plots.rdf import Target

_AS_IT_IS = ("mean", "none")
"""Reductions over frames that leave a radial distribution one."""


def target_rdfs(labels: Labels, folder: Path, system: str) -> list[Target]:
    """The targets of a system's loss that are radial distributions between types, or of all atoms.

    Args:
        facts: of the run's config.
        folder: what relative paths in it are relative to.
        system: its name where there are several; else empty.

    Raises:
        ConfigError: a file of a target is damaged or gone.
    """
    own = labels.section("systems", system, "loss") if system else None
    place = f"systems.{system}.loss" if isinstance(own, list) else "loss"
    terms = own if isinstance(own, list) else labels.section("loss")
    found: list[Target] = []
    for number, term in enumerate(terms if isinstance(terms, list) else ()):
        if isinstance(term, Mapping):
            found += _of_term(term, f"{place}.{number}", folder)
    return found


def _of_term(term: Mapping[str, Any], path: str, folder: Path) -> Iterator[Target]:
    observable, target = term.get("observable"), term.get("target")
    if not isinstance(observable, Mapping) or observable.get("kind") != "rdf" or observable.get("atoms") is not None:
        return
    if term.get("reduce", "mean") not in _AS_IT_IS:
        return
    types = observable.get("types")
    pair = None if types is None else (str(types[0]), str(types[-1]))
    if isinstance(target, Mapping) and target.get("kind") == "file":
        curve = read_curve(folder / Path(str(target.get("path"))).expanduser())
        yield Target(path, pair, curve[:, 0], curve[:, 1])
    elif isinstance(target, list):
        yield Target(path, pair, _grid(observable, len(target)), np.asarray(target, float))


def _grid(observable: Mapping[str, Any], bins: int) -> Float[np.ndarray, "bins"]:
    """The middles of equal parts of its range, as the observable has them."""
    reach = observable["range"]
    low, high = reach if isinstance(reach, list) else (0.0, reach)
    return low + (high - low) / bins * (np.arange(bins) + 0.5)
