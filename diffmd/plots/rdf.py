"""The radial distribution function of a run, before and after training where both trajectories are there."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from jaxtyping import Float

from diffmd.errors import ConfigError
from diffmd.io.trajectory import Trajectory
from diffmd.paths import group_name
from diffmd.plots.distances import Distribution, radial_distribution, widths
from diffmd.plots.picture import Picture
from diffmd.plots.style import BLUE, GREY, ORANGE, axis_label, mark_lines, panels, styled

BINS = 120
_MOST_FRAMES = 200
_DASHES = ((0, (5, 2)), (0, (2, 2)), (0, (8, 2, 2, 2)))


@dataclasses.dataclass(frozen=True)
class Target:
    """A radial distribution that the loss aims at.

    Attributes:
        path: where in the config it stands, such as ``loss.0``.
        types: the two types of atoms; None: all atoms.
        r, g: the curve.
    """

    path: str
    types: tuple[str, str] | None
    r: Float[np.ndarray, "points"]
    g: Float[np.ndarray, "points"]


def draw_rdf(
    trajectories: Mapping[str, Trajectory],
    types: tuple[str, str] | None,
    start_step: int,
    marks: tuple[float, ...],
    system: str = "",
    targets: tuple[Target, ...] = (),
) -> Picture:
    """g(r) of each trajectory.

    Args:
        trajectories: label -> trajectory; the last is drawn in colour, those before it in grey.
        types: the two types of atoms; None: all atoms.
        start_step: frames before this step are left out.
        marks: distances to mark.
        system: its name, where the run has several.
        targets: curves to draw beside them, of the same types.

    Raises:
        ConfigError: an unknown type, no pair of these types, no frame from this step on.
    """
    rows = {label: _rows(trajectory, types, start_step) for label, trajectory in trajectories.items()}
    # One grid for all curves, whatever their boxes.
    reach = min(_reach(trajectory, rows[label], marks) for label, trajectory in trajectories.items())
    found = {label: _distribution(trajectory, rows[label], types, reach) for label, trajectory in trajectories.items()}
    *_, last = trajectories.values()
    periodic = last.topology.periodic
    with styled():
        figure, (axes,) = panels()
        if periodic:
            axes.axhline(1, color="#555555", linewidth=1.0, linestyle=(0, (4, 3)))
        mark_lines(axes, marks)
        for index, (label, curve) in enumerate(found.items()):
            newest = index == len(found) - 1
            color = BLUE if newest else GREY
            axes.plot(
                curve.r,
                curve.g,
                color=color,
                label=label if len(found) > 1 else "_",
                linewidth=1.8 if newest else 1.4,
                zorder=3 + index,
            )
        for target, dashes in zip(targets, itertools.cycle(_DASHES), strict=False):
            label = "target" if len(targets) == 1 else f"target of {target.path}"
            axes.plot(target.r, target.g, color=ORANGE, label=label, linewidth=1.6, linestyle=dashes, zorder=10)
        axes.set_xlim(0, reach)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(axis_label("distance r", last.units, "length"))
        axes.set_ylabel("g(r)" if periodic else "density of pair distances")
        title = (
            "Radial distribution"
            + (f" of {system}" if system else "")
            + ("" if types is None else f", {types[0]}–{types[1]}")
        )
        axes.set_title(title)
        if len(found) > 1 or marks or targets:
            axes.legend(loc="upper right")
    name = "_".join(["rdf", *([system] if system else []), *([] if types is None else [group_name("-".join(types))])])
    curves = list(found.values())
    header = ["r", *(("g",) if len(found) == 1 else (f"g_{label}" for label in found))]
    columns: list[Iterable[float | None]] = [curves[-1].r, *(curve.g for curve in curves)]
    for target in targets:
        header.append("target" if len(targets) == 1 else f"target_{target.path}")
        columns.append(_interpolated(target, curves[-1].r))
    table = list(zip(*columns, strict=True))
    return Picture(name, figure, header, table, _caption(found, types, start_step, marks, targets))


def _interpolated(target: Target, r: np.ndarray) -> list[float | None]:
    """The target at each r; None beyond its ends."""
    g = np.interp(r, target.r, target.g)
    inside = (r >= target.r[0]) & (r <= target.r[-1])
    return [float(value) if there else None for value, there in zip(g, inside, strict=True)]


def _rows(trajectory: Trajectory, types: tuple[str, str] | None, start_step: int) -> np.ndarray:
    for name in types or ():
        if name not in trajectory.topology.type_names:
            known = ", ".join(trajectory.topology.type_names)
            raise ConfigError(f"{trajectory.path} has no atoms of type {name}; its types are {known}")
    rows = np.flatnonzero(trajectory.step >= start_step)
    if not len(rows):
        last = f"its last is step {trajectory.step[-1]}" if len(trajectory) else "it has none"
        raise ConfigError(f"{trajectory.path} has no frame from step {start_step} on; {last}")
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MOST_FRAMES)).astype(int))]


def _distribution(
    trajectory: Trajectory, rows: np.ndarray, types: tuple[str, str] | None, reach: float
) -> Distribution:
    species = np.asarray(trajectory.species)
    every = np.ones(len(species), bool)
    first, second = (every, every) if types is None else (species == types[0], species == types[1])
    try:
        return radial_distribution(_frames(trajectory, rows), first, second, reach, BINS)
    except ValueError as error:
        wanted = "any types" if types is None else f"types {types[0]} and {types[1]}"
        raise ConfigError(f"{trajectory.path} has no pair of atoms of {wanted}") from error


def _frames(trajectory: Trajectory, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    for row in rows:
        yield trajectory.wrapped[int(row)], None if trajectory.box is None else _box(trajectory.box[int(row)])


def _box(box: np.ndarray) -> np.ndarray:
    return np.asarray(box, np.float64)


def _reach(trajectory: Trajectory, rows: np.ndarray, marks: tuple[float, ...]) -> float:
    if trajectory.box is not None:
        return float(min(widths(_box(trajectory.box[int(row)])).min() for row in rows) / 2)
    positions = trajectory.wrapped[rows.tolist()]
    extent = np.linalg.norm(positions.max(axis=1) - positions.min(axis=1), axis=-1).max()
    return float(max(extent, *(1.1 * mark for mark in marks), 1e-6)) if marks else float(max(extent, 1e-6))


def _caption(
    found: Mapping[str, Distribution],
    types: tuple[str, str] | None,
    start_step: int,
    marks: tuple[float, ...],
    targets: tuple[Target, ...],
) -> str:
    *_, curve = found.values()
    what = "all atoms" if types is None else f"atoms of types {types[0]} and {types[1]}"
    since = f" from step {start_step} on" if start_step else ""
    kind = (
        f"Radial distribution function of {what}, averaged over {curve.frames} frames{since}; 1 is an ideal gas."
        if curve.periodic
        else f"Distribution of the pair distances of {what} over {curve.frames} frames{since} (there is no box)."
    )
    compared = " Grey: before training; blue: with the best parameters." if len(found) > 1 else ""
    marked = f" Purple: {', '.join(f'r = {mark:g}' for mark in marks)}." if marks else ""
    aims = f" Orange, dashed: the target of {' and of '.join(target.path for target in targets)}." if targets else ""
    return kind + compared + marked + aims
