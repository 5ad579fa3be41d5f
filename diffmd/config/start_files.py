"""What a user must hear of the structure files that a config starts from."""

from __future__ import annotations

from pathlib import Path

from diffmd.config.effective import effective_systems
from diffmd.config.inputs import structure
from diffmd.config.positions import FilePositions
from diffmd.config.schema import Config
from diffmd.config.velocities import FileVelocities
from diffmd.units import SYSTEMS


def start_notes(config: Config, folder: Path) -> list[str]:
    """Sentences about what was read of the files of `system.positions` and `system.velocities`, such as alternate
    locations left out. Raises ConfigError where one cannot be read."""
    notes: list[str] = []
    for one in effective_systems(config):
        for section, spec in (("positions", one.system.positions), ("velocities", one.system.velocities)):
            if isinstance(spec, FilePositions | FileVelocities):
                path = f"{one.system_path}.{section}"
                found = structure(folder, spec.path, spec.frame, SYSTEMS[config.units], path)
                notes += [f"{path}: {note}" for note in found.notes]
    return list(dict.fromkeys(notes))
