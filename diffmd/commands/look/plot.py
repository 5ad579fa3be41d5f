"""`diffmd plot`: pictures of a run into ``DIR/plots/``, each with its numbers (CSV) and a caption."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from diffmd.commands.look.labels import Labels, read_facts
from diffmd.commands.look.target_curves import target_rdfs
from diffmd.errors import ConfigError
from diffmd.io.pictures import PLOTS
from diffmd.io.results import GRADIENTS, SCAN, read_gradients, read_scan
from diffmd.io.rundir import TRAJECTORY, TRAJECTORY_FIRST, is_run
from diffmd.io.training import TRAINING, read_training
from diffmd.io.trajectory import Trajectory, read_trajectory
from diffmd.plots.curves import draw_loss, draw_parameters
from diffmd.plots.energies import draw_energies
from diffmd.plots.gradients import draw_gradients
from diffmd.plots.picture import Picture, save
from diffmd.plots.rdf import Target, draw_rdf
from diffmd.plots.scan import draw_scan


@dataclasses.dataclass(frozen=True)
class Wish:
    """What to draw, and how.

    Attributes:
        folder: the run directory.
        facts: of its config.
        types: the two atom types of an RDF; None: all atoms.
        start_step: frames before it are left out.
        marks: values to mark.
        asked: whether this kind was asked for by name.
    """

    folder: Path
    labels: Labels
    types: tuple[str, str] | None
    start_step: int
    marks: tuple[float, ...]
    asked: bool


def plot(
    run_dir: Path | str,
    kind: str | None = None,
    types: tuple[str, str] | None = None,
    start_step: int | None = None,
    marks: tuple[float, ...] = (),
) -> list[Path]:
    """Draws what the run's files allow; pictures of the same name that an earlier call made are replaced.

    Args:
        run_dir: the run directory.
        kind: ``loss``, ``parameters``, ``rdf``, ``energies``, ``gradients`` or ``scan``; None: all there is to draw.
        types: the two atom types of the RDF; None: all atoms.
        start_step: frames before this step are left out of the RDF and the energies; None: none.
        marks: distances to mark in the RDF (of a scan: values, in degrees for angles); none: the distances that the
            loss aims at.

    Returns:
        the files written.

    Raises:
        ConfigError: no run there, nothing to draw, an unknown kind or atom type, an option that no picture of this run
            takes, a file in the way.
        OutputError: a file cannot be read or written.
    """
    folder = Path(run_dir)
    check_run(folder)
    if kind is not None and kind not in _KINDS:
        raise ConfigError(f"there is no picture of kind {kind}; the kinds are {', '.join(_KINDS)}")
    wish = Wish(folder, read_facts(folder), types, start_step or 0, marks, kind is not None)
    wanted = _KINDS if kind is None else {kind: _KINDS[kind]}
    found = {name: draw(wish) for name, draw in wanted.items()}
    pictures = [picture for some in found.values() for picture in some]
    if not pictures:
        source = "" if kind is None else f" for --kind {kind}: {_SOURCES[kind]}"
        raise ConfigError(f"the run in {folder} has nothing to draw yet{source}")
    drawn = [name for name, some in found.items() if some]
    for option, given in (("--types", types), ("--from", start_step), ("--mark", marks or None)):
        if given is not None and not set(drawn) & set(_TAKEN_BY[option]):
            takers = " and ".join(_TAKEN_BY[option])
            raise ConfigError(f"{option} is for pictures of kind {takers}; of {folder} there is {', '.join(drawn)}")
    return [path for picture in pictures for path in save(folder / PLOTS, picture)]


def check_run(folder: Path) -> None:
    """Raises ConfigError unless `folder` is a run directory."""
    if not folder.is_dir():
        raise ConfigError(f"there is no directory {folder}")
    if not is_run(folder):
        raise ConfigError(f"{folder} is not the directory of a diffmd run")


def of_system(file: str, system: str) -> str:
    """The name of a system's file: ``trajectory_water.h5md`` of ``trajectory.h5md``; itself for the empty name."""
    stem, dot, extension = file.partition(".")
    return f"{stem}_{system}{dot}{extension}" if system else file


def read_frames(path: Path) -> Trajectory | None:
    """The trajectory at `path`, or None where there is none, or no frame in it yet. Raises OutputError."""
    if not path.exists():
        return None
    trajectory = read_trajectory(path)
    return trajectory if len(trajectory) else None


def _loss(wish: Wish) -> list[Picture]:
    if not (wish.folder / TRAINING).exists():
        return []
    training = read_training(wish.folder)
    return [draw_loss(training)] if len(training.epoch) else []


def _parameters(wish: Wish) -> list[Picture]:
    if not (wish.folder / TRAINING).exists():
        return []
    training = read_training(wish.folder)
    if not len(training.epoch) or not training.parameters:
        return []
    dimensions = {path: wish.labels.dimension(path) for path in training.parameters}
    return [draw_parameters(training, wish.labels.units, dimensions)]


def _rdf(wish: Wish) -> list[Picture]:
    pictures = []
    for system in wish.labels.systems:
        named = {"before": TRAJECTORY_FIRST, "after": TRAJECTORY}
        found = {label: read_frames(wish.folder / of_system(name, system)) for label, name in named.items()}
        trajectories = {label: trajectory for label, trajectory in found.items() if trajectory is not None}
        # A single atom has no distances; that is worth an error only where the RDF was asked for.
        if trajectories and (wish.asked or min(len(t.species) for t in trajectories.values()) > 1):
            marks = wish.marks or wish.labels.wanted_distances
            targets = target_rdfs(wish.labels, wish.folder, system)
            (*_, last) = trajectories.values()
            for types in _pairs(wish, targets, last):
                beside = tuple(target for target in targets if _same(target.types, types, last))
                pictures.append(draw_rdf(trajectories, types, wish.start_step, marks, system, beside))
    return pictures


def _pairs(wish: Wish, targets: Sequence[Target], trajectory: Trajectory) -> list[tuple[str, str] | None]:
    """The pairs of types of which there is an RDF: those asked for; else all atoms, and those that targets are of."""
    if wish.types is not None:
        return [wish.types]
    found: list[tuple[str, str] | None] = [None]
    for target in targets:
        if not any(_same(target.types, types, trajectory) for types in found):
            found.append(target.types)
    return found


def _same(one: tuple[str, str] | None, other: tuple[str, str] | None, trajectory: Trajectory) -> bool:
    """Whether two pairs of types, in any order, are the same pairs of atoms."""
    (only, *more) = trajectory.topology.type_names
    every = None if more else (only, only)
    return sorted(one or every or ()) == sorted(other or every or ())


def _energies(wish: Wish) -> list[Picture]:
    found = {system: read_frames(wish.folder / of_system(TRAJECTORY, system)) for system in wish.labels.systems}
    dimensions = wish.labels.recorded_dimensions
    drawn = {system: frames for system, frames in found.items() if frames is not None}
    return [draw_energies(frames, wish.start_step, system, dimensions) for system, frames in drawn.items()]


def _gradients(wish: Wish) -> list[Picture]:
    if not (wish.folder / GRADIENTS).exists():
        return []
    result = read_gradients(wish.folder / GRADIENTS)
    return [draw_gradients(result, wish.labels.named_units(result.gradients))] if result.gradients else []


def _scan(wish: Wish) -> list[Picture]:
    if not (wish.folder / SCAN).exists():
        return []
    scan = read_scan(wish.folder)
    if not len(scan.value):
        return []
    return [draw_scan(scan, wish.labels.units, wish.labels.dimension(scan.path), wish.marks)]


_KINDS: Mapping[str, Callable[[Wish], list[Picture]]] = {
    "loss": _loss,
    "parameters": _parameters,
    "rdf": _rdf,
    "energies": _energies,
    "gradients": _gradients,
    "scan": _scan,
}
_TAKEN_BY: Mapping[str, tuple[str, ...]] = {
    "--types": ("rdf",),
    "--from": ("rdf", "energies"),
    "--mark": ("rdf", "scan"),
}
_SOURCES: Mapping[str, str] = {
    "loss": "`diffmd train` leaves losses",
    "parameters": "`diffmd train` leaves parameters by epoch",
    "rdf": "`diffmd simulate` and `diffmd train` leave trajectories",
    "energies": "`diffmd simulate` and `diffmd train` leave trajectories",
    "gradients": "`diffmd gradient` leaves gradients",
    "scan": "`diffmd scan` leaves scans",
}
