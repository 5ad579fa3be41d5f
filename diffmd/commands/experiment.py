"""An experiment made ready to run: held values, equilibrated, with its list controls and its adjoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from diffmd.adjoints.base import Adjoint, Gradient
from diffmd.adjoints.method import MethodSpec, Resources
from diffmd.commands.reporter import Reporter
from diffmd.config.build import Experiment
from diffmd.config.checks.memory import installed_memory
from diffmd.config.checks.methods import method_problems
from diffmd.config.schema import Config
from diffmd.dynamics.march import NonFiniteError
from diffmd.errors import ConfigError, Interrupted, NumericalError
from diffmd.io import checkpoint
from diffmd.objective import P, Ready
from diffmd.parameters import check_shapes
from diffmd.simulation import equilibrate, explain
from diffmd.spec import METHODS, Spec
from diffmd.system import Values


def starting_parameters(experiment: Experiment, learned: Mapping[str, np.ndarray] | None) -> dict[str, Array]:
    """The parameters' values as the config has them, but those that an earlier run learned."""
    p = experiment.objective.parameters.initial(experiment.values)
    if learned is None:
        return p
    check_shapes(learned, p)
    return {**p, **{path: jnp.asarray(value, p[path].dtype) for path, value in learned.items()}}


def check_stop(reporter: Reporter) -> None:
    """Raises Interrupted if the caller wants the command to stop."""
    code = reporter.stop_code()
    if code is not None:
        raise Interrupted("stopped as asked", code)


def made_ready(experiment: Experiment, p: P, reporter: Reporter, kept: Path | None = None) -> Ready:
    """Held values after equilibration (with the parameters `p`), and fresh list controls.

    Args:
        kept: a checkpoint of equilibrated systems: those in it are not equilibrated again, and others join it.
    """
    arrays = dict(checkpoint.load(kept).arrays) if kept is not None and checkpoint.exists(kept) else {}
    values: dict[str, Values] = {}
    for one in experiment.systems:
        held = one.values
        names = {f"{one.name}/{key}": key for key in ("system.positions", "system.velocities")}
        if one.equilibration is not None and set(names) <= set(arrays):
            held = {**held, **{key: jnp.asarray(arrays[name]) for name, key in names.items()}}
        elif one.equilibration is not None:
            recorder, steps = one.equilibration
            reporter.start(steps, "steps", "equilibrate" if len(experiment.systems) == 1 else f"equilibrate {one.name}")

            def progress(done: int) -> None:
                reporter.advance(done)
                check_stop(reporter)

            control = one.control(held, "dynamics.equilibration.integrator.dt")
            held = equilibrate(
                one.problem, recorder, steps, p, held, experiment.key, control, reporter.message, progress
            )
            reporter.finish()
            arrays |= {name: np.asarray(held[key]) for name, key in names.items()}
            if kept is not None:
                checkpoint.save(kept, arrays)
        values[one.name] = held
    controls = {one.name: one.control(values[one.name]) for one in experiment.systems}
    return Ready(values, controls, experiment.key)


def copied(ready: Ready) -> Ready:
    """The same start with list controls of its own."""
    return Ready(ready.values, {name: dataclasses.replace(c) for name, c in ready.controls.items()}, ready.key)


def resources() -> Resources:
    """What a gradient method may use: half of the memory that the device has.

    Of all memory, not of what is free just now: so that a run that is resumed is cut as it was.
    """
    stats = jax.devices()[0].memory_stats() or {}
    whole = stats.get("bytes_limit") or installed_memory() or 4 << 30
    return Resources(int(whole) // 2)


def method_spec(config: Config, method: str | None) -> MethodSpec:
    """The config's gradient method, or the one named instead: with its defaults, but for what both have.

    Raises:
        ConfigError: there is no such method, or it does not fit the config.
    """
    configured = config.gradient
    assert isinstance(configured, MethodSpec)
    if method is None or method.replace("_", "-") == vars(configured)["method"].replace("_", "-"):
        return configured
    kinds = {name.replace("_", "-"): spec for name, spec in METHODS.members.items()}
    chosen = kinds.get(method.replace("_", "-"))
    if chosen is None:
        raise ConfigError(f"--method {method}: there are {', '.join(sorted(kinds))}")
    shared = (configured.model_fields_set & set(chosen.model_fields)) - {"method", "batch", "memory"}
    spec = chosen(**{name: vars(configured)[name] for name in shared})
    assert isinstance(spec, MethodSpec)
    for problem in method_problems(config, spec):
        raise ConfigError(f"--method {method}: {problem.message}", problem.path)
    return spec


def adjoint_of(spec: Spec, experiment: Experiment) -> Adjoint:
    """The adjoint of a `gradient` section."""
    assert isinstance(spec, MethodSpec)
    return spec.adjoint(experiment.objective, resources())


def differentiated(adjoint: Adjoint, experiment: Experiment, ready: Ready, p: P, reporter: Reporter) -> Gradient:
    """Loss and gradient, with failures explained.

    Raises:
        NumericalError: the run, the loss or a gradient is not finite.
    """

    def progress(done: int) -> None:
        reporter.advance(done)
        check_stop(reporter)

    try:
        result = adjoint.gradient(ready, p, reporter.message, progress)
    except NonFiniteError as failure:
        raise explained(experiment, ready, p, failure) from failure
    if not np.isfinite(result.loss):
        raise NumericalError("the loss is not finite although the trajectory is: look at its observables and targets")
    for path, gradient in result.gradients.items():
        if not np.isfinite(gradient).all():
            raise NumericalError(
                f"the gradient with respect to {path} is not finite although the trajectory is: {result.health.advice}"
            )
    return result


def explained(experiment: Experiment, ready: Ready, p: P, failure: NonFiniteError) -> NumericalError:
    """What left the finite numbers, of the system whose run failed."""
    for one in experiment.systems:
        if failure.problem == one.name:
            return explain(one.problem, p, ready.values[one.name], ready.key, ready.controls[one.name], failure)
    return failure


def zero_gradients(result: Gradient) -> list[str]:
    """A warning for each parameter whose gradient is exactly zero."""
    return [
        f"the gradient with respect to {path} is exactly zero: the loss does not depend on it here "
        "(a network whose ReLUs are all off, atoms out of reach, or a parameter that nothing uses); "
        "another seed or start may bring it to life"
        for path, gradient in result.gradients.items()
        if gradient.size and not np.any(gradient)
    ]
