"""Potentials and observables of a system, built from the atoms that the config lists, to hear what they refuse."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import diffmd.observables.base as observables
import diffmd.potentials.base as potentials
from diffmd.box import Box
from diffmd.config.checks.geometry import known_box
from diffmd.config.effective import EffectiveSystem
from diffmd.config.groups import listed_groups
from diffmd.errors import ConfigError
from diffmd.paths import last
from diffmd.system import System
from diffmd.units import Units


class NotRead(Exception):
    """A file would have to be read, or a user's code imported, which a check never does."""


def _weights(path: str) -> Mapping[str, np.ndarray]:
    raise NotRead(path)


def _curve(path: str) -> np.ndarray:
    raise NotRead(path)


def uncalled_function(*named: Any) -> Callable[..., Any]:
    """What stands for a user's function where none is imported: calling it raises NotRead."""
    return _never


def _never(*args: Any) -> Any:
    raise NotRead("a user's function is not called by checks")


@dataclasses.dataclass(frozen=True)
class Interactions:
    """What of a system could be built.

    Attributes:
        potentials: path -> potential.
        unknown: paths of potentials that refused, or that only a run can build (atoms or weights come from a file).
        problems: what potentials and observables refused.
        observables: path -> observable, of those that could be built.
    """

    potentials: Mapping[str, potentials.Potential]
    unknown: frozenset[str]
    problems: tuple[ConfigError, ...]
    observables: Mapping[str, observables.Observable | observables.SeriesObservable]


def built(one: EffectiveSystem, units: Units, recorded: Mapping[str, Any]) -> Interactions:
    """The potentials of a system, and all that they and the observables (of the loss, and `recorded`) refuse."""
    if not one.system.atoms:
        return Interactions({}, frozenset(one.potentials), (), {})
    system = listed_atoms(one, units)
    made: dict[str, potentials.Potential] = {}
    unknown: set[str] = set()
    refused: list[ConfigError] = []
    for path, spec in one.potentials.items():
        try:
            made[path] = _build(spec, potential_context(path, system))
        except NotRead:
            unknown.add(path)
        except ConfigError as problem:
            refused.append(_under(path, problem))
            unknown.add(path)
    measured = {f"{one.loss_path}.{number}.observable": term.observable for number, term in enumerate(one.loss)}
    measured |= {f"output.observables.{name}": spec for name, spec in recorded.items()}
    watched: dict[str, observables.Observable | observables.SeriesObservable] = {}
    for path, spec in measured.items():
        try:
            with jax.enable_x64(True):
                watched[path] = _build(spec, observable_context(path, one, system))
            if path.startswith("output.") and isinstance(watched[path], observables.SeriesObservable):
                refused.append(ConfigError("is of a whole series of frames; it can be a loss, not recorded", path))
        except ConfigError as problem:
            refused.append(ConfigError(problem.message, problem.path or path))
    return Interactions(made, frozenset(unknown), tuple(refused), watched)


def box_of(one: EffectiveSystem) -> Box:
    """The box that the config gives; where it gives none yet, one so large that nothing is refused for it."""
    if one.system.box is None:
        return Box(jnp.asarray(np.eye(3)), "none")
    vectors = known_box(one)
    if vectors is None:
        return Box(jnp.asarray(np.eye(3) * 1e9), "orthorhombic")
    return Box(jnp.asarray(vectors), "triclinic" if np.ndim(one.system.box) == 2 else "orthorhombic")


def _build(spec: Any, context: Any) -> Any:
    return spec.build(context)


def listed_atoms(one: EffectiveSystem, units: Units) -> System:
    """The system made of the groups in `atoms`, without exclusions."""
    return listed_groups(one.system.atoms).system(np.zeros((0, 2), int), units)


def potential_context(path: str, system: System) -> potentials.BuildContext:
    """A context in which nothing is read or imported."""
    return potentials.BuildContext(
        name=last(path),
        type_names=system.type_names,
        types=system.types,
        seed=0,
        folder="",
        read_weights=_weights,
        load_function=uncalled_function,
        read_curve=_curve,
    )


def observable_context(path: str, one: EffectiveSystem, system: System) -> observables.ObservableContext:
    """A context in which nothing is read or imported."""
    return observables.ObservableContext(
        system,
        box_of(one),
        path,
        None,
        lambda file, frame, path: (np.zeros((system.size, 3)), None),
        uncalled_function,
        tuple(last(name) for name in one.potentials),
    )


def _under(path: str, problem: ConfigError) -> ConfigError:
    """The problem at its place in the config: a potential of a named system knows only its own name."""
    known = f"potentials.{last(path)}"
    below = (problem.path or known).removeprefix(known)
    return ConfigError(problem.message, f"{path}{below}")


def truncated_potentials(made: Mapping[str, potentials.Potential]) -> list[str]:
    """Paths of potentials whose force jumps at the cutoff."""
    return [path for path, p in made.items() if isinstance(p, potentials.PairPotential) and p.truncated]
