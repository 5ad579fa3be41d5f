"""Parameter paths name something that can be differentiated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from diffmd.config.checks.interactions import Interactions
from diffmd.config.effective import EffectiveSystem
from diffmd.config.schema import Config
from diffmd.config.sections.parameters import ParameterSpec
from diffmd.dynamics.slopes import odd_slopes
from diffmd.errors import ConfigError
from diffmd.parameters import Parameters, Selection
from diffmd.paths import join, last, matches, split
from diffmd.potentials.base import Potential
from diffmd.training.rules import Rule, Rules

Start = Float[np.ndarray, "..."] | None
"""Starting value of a differentiable array, nan where only a run knows it; None where it does not know the shape."""


def differentiable(one: EffectiveSystem, interactions: Interactions) -> dict[str, Start]:
    """Every differentiable number of a system by its local path (``system.positions``)."""
    groups = one.system.atoms
    size = sum(group.count for group in groups) if groups and one.system.start is None else None
    points: Start = None if size is None else np.broadcast_to(np.nan, (size, 3))
    found: dict[str, Start] = {"system.positions": points, "system.velocities": points}
    for number, group in enumerate(groups):
        found[f"system.atoms.{number}.mass"] = np.asarray(group.mass)
        found[f"system.atoms.{number}.charge"] = np.asarray(group.charge)
    if one.system.box is not None:
        found["system.box"] = np.asarray(one.system.box) if isinstance(one.system.box, list) else None
    for path, potential in interactions.potentials.items():
        name = last(path)
        found |= {f"potentials.{name}.{key}": value for key, value in potential.parameters.items()}
    movers: list[tuple[str, Any]] = [("integrator", one.dynamics.integrator), ("thermostat", one.dynamics.thermostat)]
    for part, spec in movers:
        numbers: Mapping[str, np.ndarray] = {} if spec is None else spec.build().parameters
        found |= {f"dynamics.{part}.{key}": value for key, value in numbers.items()}
    return found


def parameter_problems(
    config: Config, systems: Sequence[EffectiveSystem], made: Sequence[Interactions]
) -> Iterator[ConfigError]:
    """What is wrong with `parameters`."""
    starts = {one.name: differentiable(one, parts) for one, parts in zip(systems, made, strict=True)}
    names = {one.name: {key: one.config_path(key) for key in starts[one.name]} for one in systems}
    potentials = {
        one.name: {last(path): potential for path, potential in parts.potentials.items()}
        for one, parts in zip(systems, made, strict=True)
    }
    hidden = {path for parts in made for path in parts.unknown}
    brought = [one.system_path for one in systems if not one.system.atoms]
    hidden |= {f"{path}.{key}" for path in brought for key in ("masses", "charges")}
    selections = []
    for number, entry in enumerate(config.parameters):
        where = f"parameters.{number}"
        if any(_may_lie_in(path, part) for path in (entry.path, *entry.tie) for part in hidden):
            continue
        selection = Selection(entry.path, tuple(entry.tie))
        try:
            leaves = Parameters.create([selection], names).leaves
        except (ConfigError, ValueError) as problem:
            yield ConfigError(problem.message if isinstance(problem, ConfigError) else str(problem), where)
            continue
        whole = True
        for place in (place for leaf in leaves for place in leaf.places):
            start = starts[place.system][place.key]
            if start is not None and place.index is not None and not _selects(start.shape, place.index):
                whole = False
                yield ConfigError(f"{entry.path} selects nothing: {place.key} has shape {list(start.shape)}", where)
            elif start is not None:
                chosen = np.asarray(start if place.index is None else start[place.index])
                yield from rule_problems(entry, chosen, where)
            one = next(one for one in systems if one.name == place.system)
            yield from _equilibrated(one, place.key, where)
            yield from slope_problems(one, potentials[one.name], place.key, starts[one.name], where)
        selections += [selection] if whole else []
    try:
        shapes = {
            name: {key: None if value is None else value.shape for key, value in known.items()}
            for name, known in starts.items()
        }
        Parameters.create(selections, names).check(shapes)
    except ConfigError as problem:
        yield ConfigError(problem.message, "parameters")


def slope_problems(
    one: EffectiveSystem, potentials: Mapping[str, Potential], key: str, values: Mapping[str, Any], where: str
) -> Iterator[ConfigError]:
    """A number, at its local path `key`, whose derivative is infinite at the values that the system starts with."""
    moves: Any = one.dynamics.integrator
    holds: Any = one.dynamics.thermostat
    odd = odd_slopes(potentials, moves.build(), None if holds is None else holds.build(), values).get(key)
    if odd is not None and odd.infinite:
        yield ConfigError(f"{one.config_path(key)} {odd.why}; {odd.remedy}", where)


def rule_problems(entry: ParameterSpec, start: Float[np.ndarray, "..."], where: str) -> Iterator[ConfigError]:
    """Bounds that contradict each other or the starting value."""
    try:
        _rule(entry).check(where, start)
    except ConfigError as problem:
        yield problem


def _rule(entry: ParameterSpec) -> Rule:
    return Rule(entry.lower, entry.upper, entry.transform == "positive", entry.learning_rate)


def train_problems(config: Config, systems: Sequence[EffectiveSystem]) -> Iterator[ConfigError]:
    """What the optimizer refuses of clipping and of the parameters' rules."""
    if config.train is None:
        return
    spec: Any = config.train.optimizer
    try:
        rules = {entry.path: _rule(entry) for entry in config.parameters}
        spec.optimizer(Rules(rules), config.train.clip)
    except ConfigError as problem:
        yield problem


def _may_lie_in(pattern: str, part: str) -> bool:
    """Whether `pattern` may name something below a part of the config that only a run can see."""
    try:
        keys = split(pattern)
    except ConfigError:
        return False
    return matches(join(keys[: len(split(part))]), part)


def _selects(shape: tuple[int, ...], index: tuple[int | slice, ...]) -> bool:
    """Whether an index takes at least one number of an array of `shape`."""
    try:
        return bool(np.broadcast_to(0, shape)[index].size)
    except IndexError:
        return False


def _equilibrated(one: EffectiveSystem, key: str, where: str) -> Iterator[ConfigError]:
    """Starting points cannot be learned through steps that are not differentiated."""
    equilibration = one.dynamics.equilibration
    if equilibration is not None and equilibration.steps > 0 and key in ("system.positions", "system.velocities"):
        yield ConfigError(
            f"{one.config_path(key)} is where equilibration starts, which is not differentiated; "
            "equilibrate in a run of its own and go on from it with `start: {run: ...}`",
            where,
        )
