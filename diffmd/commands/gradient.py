"""``diffmd gradient``: the loss and its gradient."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from diffmd.adjoints.base import Gradient, Health
from diffmd.adjoints.diagnosis.health import noise
from diffmd.adjoints.diagnosis.zeros import exact_zeros, parameter_slopes, zero_warnings
from diffmd.commands.look.labels import labels_of
from diffmd.commands.run.experiment import (
    adjoint_of,
    check_replicas,
    copied,
    differentiated,
    left_out,
    made_ready,
    method_spec,
    replicas_in,
    starting_parameters,
)
from diffmd.commands.run.readable import per, value_text
from diffmd.commands.run.reporter import Reporter
from diffmd.commands.run.request import CommandResult, Request, typed
from diffmd.commands.run.session import Session
from diffmd.config.build import build
from diffmd.config.checks.check import require_loss, warnings
from diffmd.io.results import GRADIENTS, Gradients, write_gradients
from diffmd.io.rundir import EQUILIBRATED
from diffmd.io.values import dataset_name, plain, refer
from diffmd.objective import P


def gradient(request: Request, reporter: Reporter, method: str | None = None) -> CommandResult:
    """Loss and gradient of a config, by its own method or `method`."""
    options = {} if method is None else {"method": method.replace("_", "-")}
    with Session.open(request, reporter, "gradient", options) as session:
        if session.done is not None:
            return session.done
        require_loss(session.config)
        for warning in [*warnings(session.config), *left_out(session.config, method)]:
            session.reporter.warning(warning)
        spec = method_spec(session.config, method)
        experiment = build(session.loaded_config, allow_python=request.allow_python)
        p = starting_parameters(experiment, session.learned)
        check_replicas(experiment, p, replicas_in(spec))
        adjoint = adjoint_of(spec, experiment)
        session.begin()
        session.tell_devices(replicas_in(spec))
        ready = made_ready(experiment, p, session.reporter, session.folder / EQUILIBRATED, replicas_in(spec))
        session.reporter.start(adjoint.steps(p), "steps", "gradient")
        result = differentiated(adjoint, experiment, copied(ready), p, session.reporter, spec)
        session.reporter.finish()
        slopes = parameter_slopes(experiment.objective, p, experiment.values)
        for warning in zero_warnings(result, slopes).values():
            session.reporter.warning(warning)
        if result.standard_error is not None and (sentence := noise(result)):
            session.reporter.warning(sentence)
        values = {path: np.asarray(value) for path, value in p.items()}
        units = labels_of(session.loaded_config).named_units(p)
        write_gradients(
            session.folder / GRADIENTS,
            Gradients(
                result.loss,
                np.asarray(result.terms),
                values,
                result.gradients,
                result.standard_error or {},
                result.sign_agreement or {},
                _stored(result.health),
            ),
            units,
        )
        lines = [f"loss {result.loss:.8g}", *_lines(result, p, units), result.health.advice, f"in {session.folder}"]
        return session.finish(CommandResult(answer_of(result, p, units), lines, typed("plot", session.folder)))


def answer_of(result: Gradient, p: P, units: Mapping[str, str]) -> dict[str, Any]:
    """What ``--json`` prints of a gradient; `units` are those of the parameters by path."""
    return {
        "loss": result.loss,
        "terms": result.terms,
        "parameters": {path: refer(value, GRADIENTS, dataset_name("parameters", path)) for path, value in p.items()},
        "gradients": {
            path: refer(value, GRADIENTS, dataset_name("gradients", path)) for path, value in result.gradients.items()
        },
        **({"units": dict(units)} if units else {}),
        "health": {**health_of(result.health), **_zeros_of(result)},
        **_noise_of(result),
    }


def _zeros_of(result: Gradient) -> dict[str, Any]:
    """What ``--json`` prints of exact zeros: how many of how many numbers, and the first places; nothing without."""
    zeros = {path: dataclasses.asdict(found) for path, found in exact_zeros(result).items()}
    return {"zero": zeros} if zeros else {}


def _noise_of(result: Gradient) -> dict[str, Any]:
    """What ``--json`` prints of a gradient that is a mean: nothing where it is of one run."""
    given = {"standard_error": result.standard_error, "sign_agreement": result.sign_agreement}
    return {
        name: {path: refer(value, GRADIENTS, dataset_name(name, path)) for path, value in by_path.items()}
        for name, by_path in given.items()
        if by_path is not None
    }


def health_of(health: Health) -> dict[str, Any]:
    """What ``--json`` prints of a gradient's health; `norm` is the norm where propagation ended."""
    ended = {"cotangent": 0, "tangent": -1}
    norm = float(health.norm[ended[health.kind]]) if health.kind in ended and len(health.norm) else None
    more = {"effective_samples": health.effective_samples, "system": health.system}
    return {
        "kind": health.kind,
        "norm": plain(norm),
        "growth_rate": plain(health.growth_rate),
        "horizon": health.horizon,
        "advice": health.advice,
        **{name: value for name, value in more.items() if value is not None},
    }


def _stored(health: Health) -> dict[str, Any]:
    return {**health_of(health), "norm": health.norm, "step": health.steps}


def _lines(result: Gradient, p: P, units: Mapping[str, str]) -> list[str]:
    lines = []
    for path, value in p.items():
        g, unit = result.gradients[path], units.get(path)
        error = None if result.standard_error is None else result.standard_error[path]
        signs = None if result.sign_agreement is None else result.sign_agreement[path]
        if g.size == 1:
            noise = "" if error is None else f" +- {float(np.ravel(error)[0]):.2g}"
            agree = "" if signs is None else f" ({float(np.ravel(signs)[0]):.0%} of replicas agree on the sign)"
            shown = value_text(float(np.ravel(value)[0]), unit, 8)
            lines.append(f"{path} = {shown}   dL/d = {float(np.ravel(g)[0]):.8g}{noise}{per(unit)}{agree}")
        else:
            noise = "" if error is None else f" +- {float(np.linalg.norm(error)):.2g}"
            lines.append(f"{path} {np.shape(value)}   |dL/d| = {float(np.linalg.norm(g)):.8g}{noise}{per(unit)}")
    return lines
