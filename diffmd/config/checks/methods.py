"""The gradient method fits the systems, their losses and the parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from diffmd.adjoints.method import Measured, MethodSpec, Setting
from diffmd.config.checks.interactions import Interactions, built
from diffmd.config.effective import EffectiveSystem, effective_systems
from diffmd.config.schema import Config
from diffmd.config.sections.loss import LossTermSpec
from diffmd.config.terms import frames_of
from diffmd.errors import ConfigError
from diffmd.losses import LossTerm, frame_steps
from diffmd.observables.base import Observable, SeriesObservable
from diffmd.units import SYSTEMS


def method_problems(
    config: Config,
    spec: MethodSpec | None = None,
    systems: Sequence[EffectiveSystem] | None = None,
    made: Sequence[Interactions] | None = None,
) -> Iterator[ConfigError]:
    """What of a config its gradient method (or `spec` instead) cannot differentiate.

    Args:
        systems, made: what is known of the config already.
    """
    systems = effective_systems(config) if systems is None else systems
    units = SYSTEMS[config.units]
    made = [built(one, units, {}) for one in systems] if made is None else made
    method = config.gradient if spec is None else spec
    if not config.parameters or not isinstance(method, MethodSpec):
        return
    names = tuple(path for entry in config.parameters for path in (entry.path, *entry.tie))
    precision = config.precision
    yield from method.problems(
        [_setting(one, parts, names, precision) for one, parts in zip(systems, made, strict=True)]
    )


def _setting(one: EffectiveSystem, made: Interactions, parameters: tuple[str, ...], precision: str) -> Setting:
    dynamics = one.dynamics
    terms = [
        _measured(path, made.observables[f"{path}.observable"], term, dynamics.steps)
        for path, term in ((f"{one.loss_path}.{number}", term) for number, term in enumerate(one.loss))
        if f"{path}.observable" in made.observables
    ]
    return Setting(
        one.dynamics_path,
        dynamics.integrator.build(),  # type: ignore[attr-defined]
        None if dynamics.thermostat is None else dynamics.thermostat.build(),  # type: ignore[attr-defined]
        dynamics.remove_com_motion,
        one.system.box is not None,
        made.potentials,
        tuple(terms),
        parameters,
        one.system_path,
        precision,
        dynamics.equilibration is not None and dynamics.equilibration.each_epoch,
    )


def _measured(path: str, observable: Observable | SeriesObservable, term: LossTermSpec, steps: int) -> Measured:
    form = LossTerm(path, observable, frames_of(term.frames), term.reduce, term.compare, None, term.weight)
    try:
        at = frame_steps(form, steps)
        return Measured(path, observable, term.reduce, len(at), bool(at[0] == steps))
    except ConfigError:
        # The checks of the loss say so.
        return Measured(path, observable, term.reduce)
