"""``diffmd gradient``: the loss and its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from diffmd.adjoints.base import Gradient, Health
from diffmd.commands.experiment import (
    adjoint_of,
    copied,
    differentiated,
    made_ready,
    method_spec,
    starting_parameters,
    zero_gradients,
)
from diffmd.commands.reporter import Reporter
from diffmd.commands.request import CommandResult, Request
from diffmd.commands.session import Session
from diffmd.config.build import build
from diffmd.config.checks.check import require_loss, warnings
from diffmd.io.results import GRADIENTS, Gradients, write_gradients
from diffmd.io.rundir import EQUILIBRATED
from diffmd.io.values import dataset_name, plain, refer
from diffmd.objective import P


def gradient(request: Request, reporter: Reporter, method: str | None = None) -> CommandResult:
    """Loss and gradient of a config, by its own method or `method`."""
    options = {} if method is None else {"method": method}
    with Session.open(request, reporter, "gradient", options) as session:
        if session.done is not None:
            return session.done
        require_loss(session.config)
        for warning in warnings(session.config):
            session.reporter.warning(warning)
        spec = method_spec(session.config, method)
        experiment = build(session.loaded_config, allow_python=request.allow_python)
        p = starting_parameters(experiment, session.learned)
        ready = made_ready(experiment, p, session.reporter, session.folder / EQUILIBRATED)
        adjoint = adjoint_of(spec, experiment)
        session.reporter.start(adjoint.steps(p), "steps", "gradient")
        result = differentiated(adjoint, experiment, copied(ready), p, session.reporter)
        session.reporter.finish()
        for warning in zero_gradients(result):
            session.reporter.warning(warning)
        values = {path: np.asarray(value) for path, value in p.items()}
        write_gradients(
            session.folder / GRADIENTS,
            Gradients(result.loss, np.asarray(result.terms), values, result.gradients, health=_stored(result.health)),
        )
        lines = [f"loss {result.loss:.8g}", *_lines(result, p), result.health.advice, f"in {session.folder}"]
        return session.finish(CommandResult(answer_of(result, p), lines, f"diffmd plot {session.folder}"))


def answer_of(result: Gradient, p: P) -> dict[str, Any]:
    """What ``--json`` prints of a gradient."""
    return {
        "loss": result.loss,
        "terms": result.terms,
        "parameters": {path: refer(value, GRADIENTS, dataset_name("parameters", path)) for path, value in p.items()},
        "gradients": {
            path: refer(value, GRADIENTS, dataset_name("gradients", path)) for path, value in result.gradients.items()
        },
        "health": health_of(result.health),
    }


def health_of(health: Health) -> dict[str, Any]:
    """What ``--json`` prints of a gradient's health; `norm` is the norm where propagation ended."""
    first = health.kind == "cotangent"
    norm = None if not len(health.norm) or health.kind == "plateau" else float(health.norm[0 if first else -1])
    return {
        "kind": health.kind,
        "norm": plain(norm),
        "growth_rate": plain(health.growth_rate),
        "horizon": health.horizon,
        "advice": health.advice,
    }


def _stored(health: Health) -> dict[str, Any]:
    return {**health_of(health), "norm": health.norm, "step": health.steps}


def _lines(result: Gradient, p: P) -> list[str]:
    lines = []
    for path, value in p.items():
        g = result.gradients[path]
        if g.size == 1:
            lines.append(f"{path} = {float(np.ravel(value)[0]):.8g}   dL/d = {float(np.ravel(g)[0]):.8g}")
        else:
            lines.append(f"{path} {np.shape(value)}   |dL/d| = {float(np.linalg.norm(g)):.8g}")
    return lines
