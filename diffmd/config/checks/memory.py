"""Refuses systems that this machine has no memory for."""

from __future__ import annotations

import os
from collections.abc import Iterator

from diffmd.config.effective import EffectiveSystem
from diffmd.errors import ConfigError

BYTES_PER_ATOM = 600
"""Positions, velocities, forces, a neighbour row and the sweep's temporaries of one atom: a lower estimate."""
BYTES_PER_PAIR = 8


def memory_problems(one: EffectiveSystem) -> Iterator[ConfigError]:
    """A number of atoms whose arrays alone are larger than all of the machine's memory."""
    atoms = sum(group.count for group in one.system.atoms)
    needed = atoms * BYTES_PER_ATOM
    if one.dynamics.neighbors.kind == "all_pairs" and one.potentials:
        needed += atoms**2 * BYTES_PER_PAIR
    have = installed_memory()
    if have is not None and needed > have:
        what = f"{atoms} atoms need at least {needed / 1e9:.1f} GB, and this machine has {have / 1e9:.1f} GB"
        hint = "; take neighbors: {kind: cell_list}" if atoms * BYTES_PER_ATOM <= have else "; take fewer atoms"
        yield ConfigError(what + hint, f"{one.system_path}.atoms")


def installed_memory() -> int | None:
    """Bytes of memory in this machine, or None where the system does not say."""
    names = os.sysconf_names if os.name == "posix" else {}
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
