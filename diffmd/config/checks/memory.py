"""Refuses systems, and series of frames, that this machine has no memory for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import jax
import numpy as np

from diffmd.adjoints.base import tree_bytes
from diffmd.adjoints.storage.measurements import amount, rows_sentence
from diffmd.config.checks.geometry import known_box
from diffmd.config.checks.interactions import NotRead, box_of
from diffmd.config.checks.targets import frame_shaped
from diffmd.config.effective import EffectiveSystem
from diffmd.config.terms import frames_of
from diffmd.errors import ConfigError
from diffmd.losses import LossTerm, frame_steps
from diffmd.observables.base import Observable, SeriesObservable
from diffmd.paths import last

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


def frame_problems(
    one: EffectiveSystem,
    observables: Mapping[str, Observable | SeriesObservable],
    copies: int = 1,
    precision: str = "double",
) -> Iterator[ConfigError]:
    """Terms of which the frames that are kept to the end are larger than all of the machine's memory.

    Nothing is computed: JAX traces shapes alone. What a user's function returns, and a box that only a run knows, are
    left to the run.

    Args:
        observables: by path, those that could be built.
        copies: replicas side by side.
    """
    have = installed_memory()
    if have is None or (one.system.box is not None and known_box(one) is None):
        return
    for number, term in enumerate(one.loss):
        path = f"{one.loss_path}.{number}"
        observable = observables.get(f"{path}.observable")
        if observable is None:
            continue
        frames = frames_of(term.frames)
        form = LossTerm(path, observable, frames, term.reduce, term.compare, None, term.weight, term.lags)
        if form.adds_up or term.frames == "end":
            continue
        try:
            count = len(frame_steps(form, one.dynamics.steps))
            size = copies * _row_bytes(one, observable) // (1 if precision == "double" else 2)
        except (ConfigError, NotRead):
            # Other checks, or the run, say so.
            continue
        if count * size > have:
            kept = rows_sentence(count * size, size, count)
            yield ConfigError(f"{kept}; this machine has {amount(have)}", f"{path}.frames")


def _row_bytes(one: EffectiveSystem, observable: Observable | SeriesObservable) -> int:
    """Of what is kept of a frame, in double precision."""
    atoms = sum(group.count for group in one.system.atoms)
    names = tuple(last(name) for name in one.potentials)
    box = box_of(one)
    with jax.enable_x64(True):
        positions = jax.ShapeDtypeStruct((atoms, 3), np.dtype(float))
        return tree_bytes(jax.eval_shape(lambda x: observable.measure(frame_shaped(x, box, names)), positions))


def installed_memory() -> int | None:
    """Bytes of memory in this machine, or None where the system does not say."""
    names = os.sysconf_names if os.name == "posix" else {}
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
