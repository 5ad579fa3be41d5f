"""What each system of a config is made of, once shared and own sections are put together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from diffmd.config.schema import Config
from diffmd.config.sections.dynamics import DynamicsSpec
from diffmd.config.sections.loss import LossTermSpec
from diffmd.config.sections.system import SystemSpec
from diffmd.errors import ConfigError
from diffmd.paths import join, last, split
from diffmd.spec import Spec


@dataclasses.dataclass(frozen=True)
class EffectiveSystem:
    """One system with its sections.

    Attributes:
        name: its name; ``default`` for a single `system`.
        weight: factor of its loss.
        system: atoms and box.
        potentials: path in the config (``potentials.lj``, or ``systems.water.potentials.lj``) -> spec.
        dynamics: its own or the shared dynamics.
        loss: its own or the shared loss.
        system_path, dynamics_path, loss_path: where these stand in the config.
    """

    name: str
    weight: float
    system: SystemSpec
    potentials: Mapping[str, Spec]
    dynamics: DynamicsSpec
    loss: tuple[LossTermSpec, ...]
    system_path: str
    dynamics_path: str
    loss_path: str

    def config_path(self, key: str) -> str:
        """Where a value of this system (``system.positions``, ``potentials.lj.sigma``, ``dynamics.integrator.dt``)
        stands in the config: with ``systems.<name>.`` in front where it is the system's own."""
        section, *rest = split(key)
        if section == "potentials":
            owned = next(path for path in self.potentials if last(path) == rest[0])
            return join([*split(owned), *rest[1:]])
        base = {"system": self.system_path, "dynamics": self.dynamics_path, "loss": self.loss_path}[section]
        return join([*split(base), *rest])


def effective_systems(config: Config) -> tuple[EffectiveSystem, ...]:
    """The systems of a config, in order.

    Raises:
        ConfigError: if there is neither or both of `system` and `systems`, no dynamics, or a potential's name twice.
    """
    shared = {f"potentials.{name}": spec for name, spec in config.potentials.items()}
    if config.systems is None:
        if config.system is None:
            raise ConfigError(
                "is missing: write `system:` with box, atoms and positions (`diffmd init` shows one)", "system"
            )
        if config.dynamics is None:
            raise ConfigError("is missing: write `dynamics:` with integrator and steps", "dynamics")
        paths = ("system", "dynamics", "loss")
        return (EffectiveSystem("default", 1.0, config.system, shared, config.dynamics, tuple(config.loss), *paths),)
    if config.system is not None:
        raise ConfigError("stands beside `system`; keep one of them", "systems")
    if not config.systems:
        raise ConfigError("names no system; write at least one, or `system:`", "systems")
    found = []
    for name, one in config.systems.items():
        prefix = f"systems.{name}"
        for twice in one.potentials.keys() & config.potentials.keys():
            raise ConfigError("is the name of a shared potential, too; rename one", f"{prefix}.potentials.{twice}")
        dynamics = one.dynamics or config.dynamics
        if dynamics is None:
            raise ConfigError("is missing: write `dynamics:` here, or once for all systems", f"{prefix}.dynamics")
        own = {f"{prefix}.potentials.{key}": spec for key, spec in one.potentials.items()}
        found.append(
            EffectiveSystem(
                name,
                one.weight,
                one.system,
                {**shared, **own},
                dynamics,
                tuple(config.loss if one.loss is None else one.loss),
                f"{prefix}.system",
                f"{prefix}.dynamics" if one.dynamics is not None else "dynamics",
                f"{prefix}.loss" if one.loss is not None else "loss",
            )
        )
    return tuple(found)
