"""Parameter paths name something that can be differentiated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from diffmd.config.checks.interactions import Interactions
from diffmd.config.effective import EffectiveSystem
from diffmd.config.paths import matches, nearest, split
from diffmd.config.schema import Config
from diffmd.config.sections.parameters import ParameterSpec
from diffmd.errors import ConfigError

Shape = tuple[int, ...] | None
"""Shape of a differentiable array; None where only a run knows it."""

_EXAMPLES = "system.positions, potentials.lj.sigma, system.atoms.0.mass, dynamics.thermostat.temperature"


def differentiable(systems: Sequence[EffectiveSystem], made: Sequence[Interactions]) -> dict[str, Shape]:
    """Every differentiable number of a config by path, with its shape."""
    found: dict[str, Shape] = {}
    for one, interactions in zip(systems, made, strict=True):
        groups = one.system.atoms
        size = sum(group.count for group in groups) if groups and one.system.start is None else None
        found[f"{one.system_path}.positions"] = None if size is None else (size, 3)
        found[f"{one.system_path}.velocities"] = None if size is None else (size, 3)
        for number in range(len(groups)):
            found |= {f"{one.system_path}.atoms.{number}.{key}": () for key in ("mass", "charge")}
        if one.system.box is not None:
            found[f"{one.system_path}.box"] = np.shape(one.system.box) if isinstance(one.system.box, list) else None
        for path, potential in interactions.potentials.items():
            found |= {f"{path}.{key}": np.shape(value) for key, value in potential.parameters.items()}
        movers: list[tuple[str, Any]] = [
            ("integrator", one.dynamics.integrator),
            ("thermostat", one.dynamics.thermostat),
        ]
        for part, spec in movers:
            numbers: Mapping[str, np.ndarray] = {} if spec is None else spec.build().parameters
            found |= {f"{one.dynamics_path}.{part}.{key}": () for key in numbers}
    return found


def parameter_problems(
    config: Config, systems: Sequence[EffectiveSystem], made: Sequence[Interactions]
) -> Iterator[ConfigError]:
    """What is wrong with `parameters`."""
    known = differentiable(systems, made)
    opaque = frozenset[str]().union(*(one.unknown for one in made))
    if any(not one.system.atoms for one in systems):
        opaque |= {f"{one.system_path}.atoms" for one in systems}
    owners: dict[str, int] = {}
    for number, entry in enumerate(config.parameters):
        yield from _entry_problems(entry, f"parameters.{number}", known, opaque)
        for path in (p for pattern in (entry.path, *entry.tie) for p in _named(pattern, known)):
            whole = "[" not in entry.path and entry.per == "value" and path == entry.path
            if whole and path in owners:
                yield ConfigError(
                    f"{path} is learned by parameters.{owners[path]}, too; keep one", f"parameters.{number}"
                )
            if whole:
                owners[path] = number
    yield from _equilibrated(config, systems, known)


def _entry_problems(
    entry: ParameterSpec, where: str, known: Mapping[str, Shape], opaque: frozenset[str]
) -> Iterator[ConfigError]:
    if entry.lower is not None and entry.upper is not None and entry.lower > entry.upper:
        yield ConfigError(f"{entry.lower:g} is more than `upper`, {entry.upper:g}", f"{where}.lower")
    if entry.transform == "positive" and entry.upper is not None and entry.upper <= 0:
        yield ConfigError("transform: positive cannot reach an upper bound of 0 or less", f"{where}.upper")
    paths = [(entry.path, where if not entry.tie else f"{where}.path")]
    paths += [(path, f"{where}.tie.{k}") for k, path in enumerate(entry.tie)]
    for pattern, place in paths:
        try:
            split(pattern)
        except ConfigError as problem:
            yield ConfigError(problem.message, place)
            continue
        if not _named(pattern, known) and not any(_may_name(pattern, one) for one in opaque):
            yield ConfigError(_nothing(pattern, known), place)


def _named(pattern: str, known: Mapping[str, Shape]) -> list[str]:
    """The differentiable paths that `pattern` names, wholly or in part (an item or slice of an array)."""
    try:
        keys = split(pattern)
    except ConfigError:
        return []
    whole = [path for path in known if matches(pattern, path)]
    if whole:
        return whole
    parts = []
    for path, shape in known.items():
        below = keys[path.count(".") + 1 :]
        head = ".".join(keys[: path.count(".") + 1])
        if below and head and "[" not in head and matches(head, path) and _inside(below, shape):
            parts.append(path)
    return parts


def _inside(keys: Sequence[str], shape: Shape) -> bool:
    """Whether `keys` are items or slices of an array of `shape`, none of them empty."""
    if shape is None:
        return all(re.fullmatch(r"\d+|\[-?\d*:-?\d*\]", key) for key in keys)
    if len(keys) > len(shape):
        return False
    for key, length in zip(keys, shape, strict=False):
        cut = re.fullmatch(r"\[(-?\d*):(-?\d*)\]", key)
        if cut:
            start, stop, _ = slice(*(int(x) if x else None for x in cut.groups())).indices(length)
            if start >= stop:
                return False
        elif not (re.fullmatch(r"\d+", key) and int(key) < length):
            return False
    return True


def _may_name(pattern: str, opaque: str) -> bool:
    """Whether `pattern` may name something below a part that only a run can see."""
    depth = opaque.count(".") + 1
    keys = split(pattern)
    return len(keys) > depth and matches(".".join(keys[:depth]), opaque)


def _nothing(pattern: str, known: Mapping[str, Shape]) -> str:
    heads = {".".join(path.split(".")[:depth]) for path in known for depth in range(2, path.count(".") + 2)}
    bare = pattern.partition("[")[0]
    if bare in known:
        shape = known[bare]
        return f"{pattern} is outside of {bare}, whose shape is {shape}"
    close = nearest(pattern, heads)
    hint = f"; did you mean {close}?" if close else f"; such paths are {_EXAMPLES}"
    return f"{pattern} names nothing that can be differentiated{hint}"


def _equilibrated(
    config: Config, systems: Sequence[EffectiveSystem], known: Mapping[str, Shape]
) -> Iterator[ConfigError]:
    """Starting points cannot be learned through steps that are not differentiated."""
    held = {
        f"{one.system_path}.{key}"
        for one in systems
        if one.dynamics.equilibration is not None and one.dynamics.equilibration.steps > 0
        for key in ("positions", "velocities")
    }
    for number, entry in enumerate(config.parameters):
        for path in held.intersection(_named(entry.path, known)):
            yield ConfigError(
                f"{path} is where equilibration starts, which is not differentiated; "
                "equilibrate in a run of its own and go on from it with `start: {run: ...}`",
                f"parameters.{number}",
            )
