"""Temperatures that observables are given, beside the one that the dynamics hold and that may be learned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from diffmd.config.effective import EffectiveSystem
from diffmd.config.schema import Config
from diffmd.errors import ConfigError
from diffmd.observables.given_temperature import DYNAMICS
from diffmd.parameters import selects
from diffmd.spec import Spec

_SLACK = 1e-9


def temperature_problems(
    config: Config, systems: Sequence[EffectiveSystem], learned: Sequence[str] | None = None
) -> Iterator[ConfigError]:
    """Numbers in the loss that would have to move with a learned temperature; ``dynamics`` where these hold none.

    Args:
        learned: paths in place of those of the config's `parameters`.
    """
    if learned is None:
        learned = [path for entry in config.parameters for path in (entry.path, *entry.tie)]
    for one in systems:
        held = held_temperatures(one)
        moving = [path for path in held if any(selects(name, path) for name in learned)]
        for path, given in _of_loss(one):
            if given == DYNAMICS:
                yield from _unclear(held, path)
            elif moving:
                yield ConfigError(
                    f"stays {given:g} while {' and '.join(moving)} is learned, and its part of the gradient would be "
                    "missing; write temperature: dynamics",
                    path,
                )
    for name, spec in config.output.observables.items():
        for path, given in _given(spec, f"output.observables.{name}"):
            if given == DYNAMICS:
                for one in systems:
                    yield from _unclear(held_temperatures(one), path)


def temperature_warnings(one: EffectiveSystem) -> Iterator[str]:
    """Numbers in the loss that are not the temperature that the dynamics hold."""
    for path, given in _of_loss(one):
        for place, held in held_temperatures(one).items():
            if given != DYNAMICS and abs(given - held) > _SLACK * max(given, held):
                yield f"{path}: is {given:g}, and {place} is {held:g}; temperature: dynamics takes that one"


def held_temperatures(one: EffectiveSystem) -> dict[str, float]:
    """Path in the config -> temperature of the integrator's heat bath and of the thermostat, where there are such."""
    movers: list[tuple[str, Any]] = [("integrator", one.dynamics.integrator), ("thermostat", one.dynamics.thermostat)]
    found = {}
    for part, spec in movers:
        numbers: Mapping[str, Any] = {} if spec is None else spec.build().parameters
        if "temperature" in numbers:
            found[f"{one.dynamics_path}.{part}.temperature"] = float(numbers["temperature"])
    return found


def _unclear(held: Mapping[str, float], path: str) -> Iterator[ConfigError]:
    if not held:
        yield ConfigError(
            "dynamics hold no temperature here; write a number, or null: that of the velocities, or take an integrator "
            "or thermostat that holds one, such as langevin",
            path,
        )
    if len(held) > 1:
        yield ConfigError(f"the dynamics hold two, {' and '.join(held)}; write a number", path)


def _of_loss(one: EffectiveSystem) -> Iterator[tuple[str, Any]]:
    for number, term in enumerate(one.loss):
        yield from _given(term.observable, f"{one.loss_path}.{number}.observable")


def _given(spec: Spec, path: str) -> Iterator[tuple[str, Any]]:
    """The temperatures given to an observable and to those within it: (path, number or ``dynamics``)."""
    for name, value in spec:
        if isinstance(value, Spec):
            yield from _given(value, f"{path}.{name}")
        elif name == "temperature" and value is not None:
            yield f"{path}.{name}", value
