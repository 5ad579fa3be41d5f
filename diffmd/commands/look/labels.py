"""What a picture needs to know of a run's config: units, the dimension of each parameter, the wanted distances.

The resolved config is read as plain data: nothing is built, and no user's code imported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from diffmd.config.conversion import dimension, measured_dimension
from diffmd.config.known import Known
from diffmd.config.loading import LoadedConfig
from diffmd.config.schema import Config
from diffmd.config.yaml_reader import read_text
from diffmd.io.rundir import CONFIG, read_config
from diffmd.units import REDUCED, SYSTEMS, Units

_DISTANCES = ("nearest_distance", "distance")


@dataclasses.dataclass(frozen=True)
class Labels:
    """A run's config, and its units.

    Attributes:
        config: the resolved config; empty where the run has none (the built-in gradient check).
        units: its unit system.
    """

    config: Mapping[str, Any]
    units: Units

    def dimension(self, path: str) -> str:
        """The dimension of the parameter at `path`, such as ``energy/length^2``; ``1`` where it has none."""
        return dimension(self.config, path, Known(Config))

    def unit(self, path: str) -> str | None:
        """The unit of the parameter at `path`, such as ``kJ/mol/nm^2``; None where it has none."""
        return self.units.symbol(self.dimension(path))

    def named_units(self, paths: Iterable[str]) -> dict[str, str]:
        """Path -> unit of the parameters that have one, for ``--json``."""
        return {path: unit for path in paths if (unit := self.unit(path)) is not None}

    @property
    def systems(self) -> tuple[str, ...]:
        """The names of the systems where there are several; else one empty name."""
        names = tuple(_dict(self.config.get("systems")))
        return names if len(names) > 1 else ("",)

    @property
    def recorded_dimensions(self) -> dict[str, str]:
        """Name -> dimension of the observables that `output` records."""
        recorded = _dict(self.section("output", "observables"))
        return {name: measured_dimension(one) or "1" for name, one in recorded.items()}

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


def labels_of(loaded: LoadedConfig) -> Labels:
    """The facts of a config that was read."""
    return Labels(loaded.data, SYSTEMS[loaded.config.units])


def read_facts(run_dir: Path) -> Labels:
    """The facts of the run in `run_dir`. Raises ConfigError, OutputError where its config.yaml cannot be read."""
    if not (run_dir / CONFIG).exists():
        return Labels({}, REDUCED)
    config = _dict(read_text(read_config(run_dir), str(run_dir / CONFIG)).data)
    return Labels(config, SYSTEMS.get(str(config.get("units")), REDUCED))


def _is_distance(term: Mapping[str, Any]) -> bool:
    target = term.get("target")
    number = isinstance(target, (int, float)) and not isinstance(target, bool)
    return number and _dict(term.get("observable")).get("kind") in _DISTANCES


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
