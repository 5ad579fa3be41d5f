"""All checks of a config, in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from diffmd.config.checks.dynamics import dynamics_problems, list_problems
from diffmd.config.checks.geometry import reach_problems, system_problems
from diffmd.config.checks.interactions import Interactions, built, truncated_potentials
from diffmd.config.checks.losses import loss_problems, series_problems
from diffmd.config.checks.memory import frame_problems, memory_problems
from diffmd.config.checks.methods import method_problems
from diffmd.config.checks.parameters import parameter_problems, train_problems
from diffmd.config.checks.targets import target_problems
from diffmd.config.checks.temperatures import temperature_problems, temperature_warnings
from diffmd.config.effective import EffectiveSystem, effective_systems
from diffmd.config.files import file_of, file_values
from diffmd.config.schema import Config
from diffmd.errors import ConfigError
from diffmd.units import SYSTEMS


def problems(config: Config, folder: Path, *, loss: bool = True) -> Iterator[ConfigError]:
    """Everything that is wrong across the fields of a config whose files lie in `folder`.

    Args:
        loss: whether its loss is going to be measured, and must fit the run.
    """
    try:
        systems = effective_systems(config)
    except ConfigError as problem:
        yield problem
        return
    yield from _missing_files(config, folder)
    interactions: list[Interactions] = []
    for one in systems:
        yield from dynamics_problems(one)
        if not one.potentials:
            yield ConfigError("is missing: no potential acts on the atoms; add one, such as `lj:`", "potentials")
        size_problems = [*system_problems(one), *memory_problems(one)]
        yield from size_problems
        if size_problems:
            continue
        found = built(one, SYSTEMS[config.units], config.output.observables)
        interactions.append(found)
        yield from found.problems
        yield from reach_problems(one, found.potentials)
        yield from list_problems(one, found.potentials)
        if loss:
            of_loss = [*loss_problems(one, folder), *series_problems(one, found.observables)]
            yield from of_loss
            yield from target_problems(one, folder, found.observables, {problem.path or "" for problem in of_loss})
            replicas: int | None = vars(config.gradient).get("replicas")
            yield from frame_problems(one, found.observables, replicas or 1, config.precision)
    yield from temperature_problems(config, systems)
    yield from train_problems(config, systems)
    if len(interactions) == len(systems):
        yield from parameter_problems(config, systems, interactions)
        yield from method_problems(config, None, systems, interactions)


def _missing_files(config: Config, folder: Path) -> Iterator[ConfigError]:
    for path, value in file_values(config.model_dump(mode="json", by_alias=True)):
        file = folder / Path(file_of(value)).expanduser()
        if path.endswith(".run"):
            if not file.is_dir():
                yield ConfigError(f"no such run: {file} is not a folder", path)
        elif file.is_dir():
            yield ConfigError(f"{file} is a folder; give the file", path)
        elif not file.exists():
            yield ConfigError(f"no such file: {file} (relative paths start at the config's folder)", path)


def require_loss(config: Config) -> None:
    """Raises ConfigError, saying what to add, unless the config has a loss and parameters to differentiate it by."""
    for one in effective_systems(config):
        if not one.loss:
            raise ConfigError(
                "is missing: add what is to be small, such as "
                "`loss: [{observable: {kind: nearest_distance}, target: 0.5}]`",
                one.loss_path,
            )
    if not config.parameters:
        first = next((path for one in effective_systems(config) for path in one.potentials), "potentials.lj")
        raise ConfigError(
            f"is missing: add what gradients are taken with respect to, such as `parameters: [{first}]`", "parameters"
        )


def warnings(config: Config) -> list[str]:
    """What is allowed but spoils gradients; for gradient, train and scan."""
    return list(dict.fromkeys(text for one in effective_systems(config) for text in _warnings(one, config)))


def _warnings(one: EffectiveSystem, config: Config) -> Iterator[str]:
    for path in truncated_potentials(built(one, SYSTEMS[config.units], {}).potentials):
        yield (
            f"{path}.cutoff: the force jumps at the cutoff, so a trajectory that crosses it has no derivative there; "
            "use {kind: shifted_force, ...} or {kind: switch, ...}"
        )
    yield from temperature_warnings(one)
