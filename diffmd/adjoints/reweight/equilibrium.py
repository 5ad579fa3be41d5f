"""What an average over the canonical ensemble of configurations is not: dynamics, losses and parameters refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from diffmd.adjoints.method import Measured, Setting
from diffmd.errors import ConfigError
from diffmd.observables.base import SeriesObservable
from diffmd.parameters import selects
from diffmd.paths import join, matches, split

_START = "an average over the ensemble does not depend on where it started"
_MOMENTUM = "configurations are canonical whatever it is, so that averages over them do not depend on it"
_WHAT_FOR = {
    "system.positions": _START,
    "system.velocities": _START,
    "dynamics.integrator.dt": _MOMENTUM,
    "dynamics.integrator.friction": _MOMENTUM,
}
"""Parameters that change no average over configurations, and why. Masses change none of their weights, but averages of
what is weighted with masses, such as a radius of gyration."""

AVERAGED = ("mean", "none", "variance")
"""Reductions that frames can be weighted in."""


def refusals(setting: Setting) -> Iterator[ConfigError]:
    """Everything of one system that reweighting cannot differentiate, each with its path and a sentence."""
    integrator, where = setting.integrator, f"{setting.dynamics_path}.integrator"
    if not integrator.canonical:
        yield ConfigError(
            "method: reweight takes frames of the canonical ensemble, which this integrator does not sample; "
            "use {kind: langevin, ...}, or method: reverse",
            where,
        )
    elif not float(integrator.parameters["friction"]) > 0:
        yield ConfigError(
            "without friction no heat bath acts and the ensemble is not canonical; method: reweight takes friction > 0",
            f"{where}.friction",
        )
    elif not float(integrator.parameters["temperature"]) > 0:
        yield ConfigError(
            "at temperature 0 there is one configuration, no ensemble; method: reweight takes a temperature > 0",
            f"{where}.temperature",
        )
    if setting.thermostat is not None:
        yield ConfigError(
            "a thermostat that scales velocities does not leave the ensemble canonical; method: reweight takes "
            "langevin alone",
            f"{setting.dynamics_path}.thermostat",
        )
    if setting.each_epoch:
        yield ConfigError(
            "method: reweight goes on from the frames that it has sampled, and not from where an equilibration ends: "
            "this would only take time; leave it out, and leave out the first frames of each sampling "
            "(frames: {from: ...})",
            f"{setting.dynamics_path}.equilibration.each_epoch",
        )
    for term in setting.terms:
        yield from _of_term(term)


def _of_term(term: Measured) -> Iterator[ConfigError]:
    if isinstance(term.observable, SeriesObservable):
        yield ConfigError(
            "is made of the whole series, and method: reweight averages over configurations, each by itself; take an "
            "observable of one configuration (reduce: variance for its fluctuations), or method: reverse",
            f"{term.path}.observable",
        )
        return
    if not term.observable.configurational:
        yield ConfigError(
            "looks at velocities or the time, and method: reweight averages over configurations; "
            f"{term.observable.made_configurational}, or use method: reverse",
            f"{term.path}.observable",
        )
    if term.reduce not in AVERAGED:
        yield ConfigError(
            f"{term.reduce} is no average over the ensemble; method: reweight takes {', '.join(AVERAGED)}",
            f"{term.path}.reduce",
        )
    if term.frames is not None and term.frames < 2:
        yield ConfigError(
            "method: reweight averages over many frames; write frames: {from: ..., every: ...}", f"{term.path}.frames"
        )


def ineffective(paths: Sequence[str]) -> Iterator[ConfigError]:
    """The parameters that change no average over configurations."""
    for path in paths:
        # Without the system that they belong to.
        names = split(path)
        locals_ = [path, join(names[2:]) or "*"] if matches(join(names[:1]), "systems") else [path]
        for key, reason in _WHAT_FOR.items():
            if any(selects(local, key) for local in locals_):
                yield ConfigError(
                    f"{path} selects {key}, and {reason}: leave it out, or use method: reverse", "parameters"
                )
