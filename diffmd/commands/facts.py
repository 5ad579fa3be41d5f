"""What a picture needs to know of a run's config: units, the dimension of each parameter, the wanted distances.

The resolved config is read as plain data: nothing is built, and no user's code imported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffmd.dynamics
import diffmd.potentials  # noqa: F401 - both register their kinds
from diffmd.config.yaml_reader import read_text
from diffmd.io.rundir import CONFIG, read_config
from diffmd.paths import split
from diffmd.spec import INTEGRATORS, POTENTIALS, THERMOSTATS, Family, Spec
from diffmd.units import REDUCED, SYSTEMS, Units

_SYSTEM: Mapping[str, str] = {
    "positions": "length",
    "velocities": "length/time",
    "box": "length",
    "masses": "mass",
    "charges": "charge",
}
_ATOM: Mapping[str, str] = {"mass": "mass", "charge": "charge"}
_DISTANCES = ("nearest_distance", "distance")


@dataclasses.dataclass(frozen=True)
class Facts:
    """A run's config, and its units.

    Attributes:
        config: the resolved config; empty where the run has none (the built-in gradient check).
        units: its unit system.
    """

    config: Mapping[str, Any]
    units: Units

    def dimension(self, path: str) -> str:
        """The dimension of the parameter at `path`, such as ``energy/length^2``; ``1`` where it has none."""
        match self._own(path):
            case ["potentials", name, key, *_]:
                return _field(POTENTIALS, self._potentials().get(name), key)
            case ["dynamics", "integrator", key, *_]:
                return _field(INTEGRATORS, self._dynamics("integrator", path), key)
            case ["dynamics", "thermostat", key, *_]:
                return _field(THERMOSTATS, self._dynamics("thermostat", path), key)
            case ["system", "atoms", _, key]:
                return _ATOM.get(key, "1")
            case ["system", *rest] if rest:
                return _SYSTEM.get(rest[0], "1")
        return "1"

    @staticmethod
    def _own(path: str) -> tuple[str, ...]:
        """The keys of a path within its system."""
        keys = split(path)
        return keys[2:] if keys[0] == "systems" else keys

    @property
    def systems(self) -> tuple[str, ...]:
        """The names of the systems where there are several; else one empty name."""
        names = tuple(_dict(self.config.get("systems")))
        return names if len(names) > 1 else ("",)

    @property
    def wanted_distances(self) -> tuple[float, ...]:
        """The targets of the loss that are distances between atoms: what an RDF is marked at."""
        terms = [*_list(self.config.get("loss"))]
        for system in _dict(self.config.get("systems")).values():
            terms += _list(_dict(system).get("loss"))
        wanted = [term["target"] for term in map(_dict, terms) if _is_distance(term)]
        return tuple(dict.fromkeys(float(target) for target in wanted))

    def section(self, *keys: str) -> Any:
        """What stands in the config under these keys; None where nothing does."""
        found: Any = self.config
        for key in keys:
            found = _dict(found).get(key)
        return found

    def _potentials(self) -> dict[str, Any]:
        own = [_dict(_dict(system).get("potentials")) for system in _dict(self.config.get("systems")).values()]
        return {
            name: section for group in (_dict(self.config.get("potentials")), *own) for name, section in group.items()
        }

    def _dynamics(self, section: str, path: str) -> Any:
        name = keys[1] if (keys := split(path))[0] == "systems" else ""
        own = _dict(_dict(_dict(self.config.get("systems")).get(name)).get("dynamics"))
        return {**_dict(self.config.get("dynamics")), **own}.get(section)


def read_facts(run_dir: Path) -> Facts:
    """The facts of the run in `run_dir`. Raises ConfigError, OutputError where its config.yaml cannot be read."""
    if not (run_dir / CONFIG).exists():
        return Facts({}, REDUCED)
    config = _dict(read_text(read_config(run_dir), str(run_dir / CONFIG)).data)
    return Facts(config, SYSTEMS.get(str(config.get("units")), REDUCED))


def _field(family: Family, section: Any, key: str) -> str:
    spec: type[Spec] | None = family.members.get(str(_dict(section).get("kind")))
    if spec is None or key not in spec.model_fields:
        return "1"
    extra = spec.model_fields[key].json_schema_extra
    return str(extra.get("unit", "1")) if isinstance(extra, dict) else "1"


def _is_distance(term: Mapping[str, Any]) -> bool:
    target = term.get("target")
    number = isinstance(target, (int, float)) and not isinstance(target, bool)
    return number and _dict(term.get("observable")).get("kind") in _DISTANCES


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
