"""Targets have the shape of what they are compared with."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from diffmd.box import Box
from diffmd.config.checks.geometry import known_box
from diffmd.config.checks.interactions import NotRead, box_of
from diffmd.config.curves import read_curve
from diffmd.config.effective import EffectiveSystem
from diffmd.config.sections.loss import LossTermSpec, TargetFileSpec
from diffmd.config.terms import frames_of
from diffmd.dynamics.frame import Frame
from diffmd.errors import ConfigError
from diffmd.losses import LossTerm, Rows, evaluate_term, frame_steps
from diffmd.observables.base import Observable, SeriesObservable
from diffmd.paths import last, within


def target_problems(
    one: EffectiveSystem,
    folder: Path,
    observables: Mapping[str, Observable | SeriesObservable],
    told: Collection[str],
) -> Iterator[ConfigError]:
    """Arrays and curves that are compared with something of another shape, of the observables that could be built.

    Nothing is computed: JAX traces shapes alone. A box that only a run knows leaves the shapes to the run.

    Args:
        told: paths of what is wrong already; their terms are not looked at.
    """
    if one.system.box is not None and known_box(one) is None:
        return
    for number, term in enumerate(one.loss):
        path = f"{one.loss_path}.{number}"
        observable = observables.get(f"{path}.observable")
        shaped = isinstance(term.target, (list, TargetFileSpec))
        if observable is None or not shaped or any(within(place, path) for place in told):
            continue
        try:
            with jax.enable_x64(True):
                _compare(one, folder, term, observable, path)
        except NotRead:
            # The shape of what a user's function returns is known when it runs.
            continue
        except ConfigError as problem:
            yield ConfigError(problem.message, problem.path or path)


def _compare(
    one: EffectiveSystem, folder: Path, term: LossTermSpec, observable: Observable | SeriesObservable, path: str
) -> None:
    """Raises ConfigError where the target does not fit."""
    form = LossTerm(path, observable, frames_of(term.frames), term.reduce, term.compare, None, term.weight, term.lags)
    integrator: Any = one.dynamics.integrator
    times = frame_steps(form, one.dynamics.steps) * float(integrator.build().parameters["dt"])
    target: Any = np.asarray(term.target) if isinstance(term.target, list) else None
    curve = None
    if isinstance(term.target, TargetFileSpec):
        file = folder / Path(term.target.path).expanduser()
        if not file.is_file():
            return
        points = read_curve(file)
        curve = (points[:, 0], points[:, 1])
    whole = LossTerm.create(
        path,
        observable,
        frames=form.frames,
        reduce=term.reduce,
        compare=term.compare,
        target=target,
        curve=curve,
        weight=term.weight,
        lags=term.lags,
        times=times,
    )
    if curve is not None:
        # It was interpolated onto the grid.
        return
    names = tuple(last(name) for name in one.potentials)
    compare_shapes(whole, len(times), sum(group.count for group in one.system.atoms), box_of(one), names)


def compare_shapes(term: LossTerm, frames: int, atoms: int, box: Box, potentials: tuple[str, ...]) -> None:
    """Raises ConfigError where a term's target does not fit what is measured; nothing is computed."""

    def loss(positions: Float[Array, "frames atoms 3"]) -> Array:
        rows: Rows = jax.vmap(lambda x: term.observable.measure(frame_shaped(x, box, potentials)))(positions)
        return evaluate_term(term, rows)

    jax.eval_shape(loss, jax.ShapeDtypeStruct((frames, atoms, 3), jnp.result_type(float)))


def frame_shaped(x: Float[Array, "atoms 3"], box: Box, potentials: tuple[str, ...]) -> Frame:
    """A frame whose arrays have the shapes of a run's."""
    number = x[0, 0]
    return Frame(
        positions=x,
        velocities=x,
        masses=x[:, 0],
        box=box,
        time=number,
        potential_energy=lambda: number,
        potential_energies=lambda: dict.fromkeys(potentials, number),
        virial=lambda: jnp.zeros((3, 3)),
        hessian=lambda: jnp.zeros((x.size, x.size)),
        degrees_of_freedom=max(1, x.size),
        held_temperature=number,
    )
