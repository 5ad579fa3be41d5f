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
from diffmd.adjoints.diagnosis.health import Means, explodes, remedied
from diffmd.adjoints.diagnosis.nonfinite import culprit, lost_steps
from diffmd.adjoints.method import MethodSpec, Resources
from diffmd.adjoints.options import replicas_of
from diffmd.adjoints.propagator import DRAWN, Replicas, replica_keys, replica_values, spread_values
from diffmd.adjoints.replicas.equilibration import equilibrate_replicas
from diffmd.adjoints.reweight.reweight import ReweightSpec
from diffmd.commands.run.lost_terms import lost_terms
from diffmd.commands.run.reporter import Reporter
from diffmd.config.build import BuiltSystem, Experiment
from diffmd.config.checks.memory import installed_memory
from diffmd.config.checks.methods import method_problems
from diffmd.config.effective import effective_systems
from diffmd.config.schema import Config
from diffmd.dynamics.run.host_loop import DivergedError, ListControl
from diffmd.dynamics.run.schedule import Leg, segments
from diffmd.errors import ConfigError, Interrupted, NumericalError
from diffmd.io import checkpoint
from diffmd.objective import P, Ready
from diffmd.observables.reference import of_the_start
from diffmd.parameters import check_shapes
from diffmd.simulation import Recorder, equilibrate, explain
from diffmd.spec import METHODS, Spec
from diffmd.system import Values

_OF_THE_MACHINE = {"method", "batch", "memory"}
"""Options that say how a method computes, not what: each method has its own."""


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


def check_replicas(experiment: Experiment, p: P, replicas: int | None) -> None:
    """Raises ConfigError where replicas cannot start; as far as can be told before any equilibration."""
    if replicas is None:
        return
    for one in experiment.systems:
        held = _held(one, replicas)
        _check_references(one, held)
        if one.equilibration is None:
            _check_differ(one, held, p)


def _held(one: BuiltSystem, replicas: int | None) -> Values:
    return one.drawn(0) if replicas is None else spread_values([one.drawn(number) for number in range(replicas)])


def unequilibrated(experiment: Experiment, replicas: int | None = None) -> Ready:
    """What runs start from where equilibration is left out: as drawn, with fresh list controls."""
    values = {one.name: _held(one, replicas) for one in experiment.systems}
    controls = {one.name: one.control(values[one.name]) for one in experiment.systems}
    return Ready(values, controls, experiment.key)


def made_ready(
    experiment: Experiment,
    p: P,
    reporter: Reporter,
    kept: Path | None = None,
    replicas: int | None = None,
    controls: Mapping[str, ListControl] | None = None,
) -> Ready:
    """Held values after equilibration (with the parameters `p`), and list controls.

    Args:
        controls: those of an earlier run, whose lists the next one's begin as; None: fresh ones.
        kept: a checkpoint of equilibrated systems: those in it are not equilibrated again, and others join it.
        replicas: how many runs stand side by side in the values (see `adjoints.propagator`); None: the one run.
    """
    arrays = dict(checkpoint.load(kept).arrays) if kept is not None and checkpoint.exists(kept) else {}
    values: dict[str, Values] = {}
    together = replicas_of(replicas)
    for one in experiment.systems:
        for note in one.notes:
            reporter.message(note)
        held = _held(one, replicas)
        names = {f"{one.name}/{key}": key for key in DRAWN}
        if one.equilibration is not None and set(names) <= set(arrays):
            held = {**held, **{key: jnp.asarray(arrays[name]) for name, key in names.items()}}
        elif one.equilibration is not None:
            held = _equilibrated(experiment, one, held, p, together, reporter)
            arrays |= {name: np.asarray(held[key]) for name, key in names.items()}
            if kept is not None:
                checkpoint.save(kept, arrays)
        values[one.name] = held
        if replicas is not None:
            _check_differ(one, held, p)
    fresh = {one.name: one.control(values[one.name]) for one in experiment.systems} if controls is None else {}
    return Ready(values, {**fresh, **(controls or {})}, experiment.key)


def _equilibrated(
    experiment: Experiment, one: BuiltSystem, held: Values, p: P, replicas: Replicas | None, reporter: Reporter
) -> Values:
    """The values, of one run or of replicas, after the config's equilibration."""
    assert one.equilibration is not None
    recorder, steps = one.equilibration
    label = "equilibrate" if len(experiment.systems) == 1 else f"equilibrate {one.name}"

    def progress(done: int) -> None:
        reporter.advance(done)
        check_stop(reporter)

    def alone(held: Values, key: Array) -> Values:
        control = one.control(held)
        return equilibrate(one.problem, recorder, steps, p, held, key, control, reporter.message, progress)

    reporter.start(steps * (1 if replicas is None else replicas.count), "steps", label)
    if replicas is None:
        relaxed = alone(held, experiment.key)
    else:
        control, say = one.control(held), reporter.message
        try:
            relaxed = equilibrate_replicas(
                one.problem, recorder, steps, replicas, p, held, experiment.key, control, say, progress
            )
        except DivergedError:
            # One after another they tell which of them it was, and what did it.
            reporter.start(steps * replicas.count, "steps", label)
            keys = replica_keys(experiment.key, replicas.count)
            relaxed = spread_values([alone(replica_values(held, number), key) for number, key in enumerate(keys)])
    reporter.finish()
    return relaxed


def _check_differ(one: BuiltSystem, held: Values, p: P) -> None:
    """Raises ConfigError where replicas are copies of each other: nothing is drawn but what is learned, which they
    share, and no noise acts."""
    first, second = (one.problem.parameters.bind(one.name, p, replica_values(held, number)) for number in (0, 1))
    alike = all(np.array_equal(first[key], second[key]) for key in DRAWN)
    if alike and not one.problem.dynamics.integrator.stochastic:
        raise ConfigError(
            "the replicas would all be alike: neither positions nor velocities are random (learned ones are the same "
            "in all), and no noise acts; draw velocities (maxwell_boltzmann) or positions (random) that are not "
            "learned, or use a langevin integrator",
            "gradient.replicas",
        )


def _check_references(one: BuiltSystem, drawn: Values) -> None:
    """Raises ConfigError where the loss compares with the start, which is another one for each replica."""
    x = drawn["system.positions"]
    if np.array_equal(x, np.broadcast_to(x[0], x.shape)):
        return
    for number, term in enumerate(one.effective.loss):
        for below in of_the_start(term.observable):
            raise ConfigError(
                "kind: start is the start of the first replica alone, and each draws positions of its own; give a "
                "reference of kind inline or file, or starting positions that are not random",
                f"{one.effective.loss_path}.{number}.observable.{below}",
            )


def copied(ready: Ready) -> Ready:
    """The same start with list controls of its own: what a run learns of its lists changes no other run's last bits."""
    return dataclasses.replace(ready, controls={name: dataclasses.replace(c) for name, c in ready.controls.items()})


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
    chosen = _kind(method)
    shared = (configured.model_fields_set & set(chosen.model_fields)) - _OF_THE_MACHINE
    spec = chosen(**{name: vars(configured)[name] for name in shared})
    assert isinstance(spec, MethodSpec)
    for problem in method_problems(config, spec):
        raise ConfigError(f"--method {method}: {problem.message}", problem.path)
    return spec


def left_out(config: Config, method: str | None) -> list[str]:
    """A warning for each option of the config's gradient method that the one named instead does not have."""
    configured = config.gradient
    if method is None or method.replace("_", "-") == vars(configured)["method"].replace("_", "-"):
        return []
    known = set(_kind(method).model_fields)
    return [
        f"--method {method} has no {name}; gradient.{name} is left out"
        for name in changed_options(configured)
        if name not in known
    ]


def changed_options(spec: Spec) -> list[str]:
    """The options of a `gradient` section that are not their defaults and change what is computed."""
    fields = type(spec).model_fields
    return [n for n, field in fields.items() if n not in _OF_THE_MACHINE and vars(spec)[n] != field.default]


def _kind(method: str) -> type[Spec]:
    """The section of a method by its name. Raises ConfigError where there is none."""
    kinds = {name.replace("_", "-"): spec for name, spec in METHODS.members.items()}
    chosen = kinds.get(method.replace("_", "-"))
    if chosen is None:
        raise ConfigError(f"--method {method}: there are {', '.join(sorted(kinds))}")
    return chosen


def replicas_in(spec: Spec) -> int | None:
    """How many replicas a gradient method runs side by side; None: the one run."""
    count: int | None = vars(spec).get("replicas")
    return count


def samples_in(spec: Spec) -> bool:
    """Whether a gradient method has independent samples, replicas or frames, and so a standard error."""
    return replicas_in(spec) is not None or isinstance(spec, ReweightSpec)


def adjoint_of(spec: Spec, experiment: Experiment) -> Adjoint:
    """The adjoint of a `gradient` section."""
    assert isinstance(spec, MethodSpec)
    return spec.adjoint(experiment.objective, resources())


def means_of(config: Config, spec: MethodSpec) -> Means:
    """What of the remedies of an exploding gradient a config could take, and has not taken yet."""
    options = vars(spec)
    integrators = [one.dynamics.integrator.build() for one in effective_systems(config)]  # type: ignore[attr-defined]
    truncated = options.get("truncate") is not None
    return Means(
        reweight=next(method_problems(config, ReweightSpec()), None) is None,
        truncate="truncate" in options and not truncated,
        truncated=truncated,
        replicas="replicas" in options and options["replicas"] is None,
        friction=not any(one.stochastic for one in integrators),
    )


def differentiated(
    adjoint: Adjoint, experiment: Experiment, ready: Ready, p: P, reporter: Reporter, spec: MethodSpec | None = None
) -> Gradient:
    """Loss and gradient, with failures explained.

    Args:
        spec: the method, where it is not the config's.

    Raises:
        NumericalError: the run, the loss or a gradient is not finite.
    """

    def progress(done: int) -> None:
        reporter.advance(done)
        check_stop(reporter)

    try:
        result = adjoint.gradient(ready, p, reporter.message, progress)
    except DivergedError as failure:
        raise explained(experiment, ready, p, failure) from failure
    if not np.isfinite(result.loss):
        raise NumericalError(lost_terms(experiment, result.terms))
    for path, gradient in result.gradients.items():
        if not np.isfinite(gradient).all():
            sentence = _lost_derivative(experiment, ready, p, result)
            what = f"the gradient with respect to {path} is not finite although the trajectory is"
            raise NumericalError(
                f"{what}: {sentence}" if sentence else f"{what}; run fewer steps, or check it with gradcheck"
            )
    if not explodes(result.health):
        return result
    config = experiment.loaded.config
    means = means_of(config, method_spec(config, None) if spec is None else spec)
    return dataclasses.replace(result, health=remedied(result.health, means))


def _lost_derivative(experiment: Experiment, ready: Ready, p: P, result: Gradient) -> str | None:
    """Which potential or term, step and atoms made a gradient that is not finite. Raises NumericalError where the run
    itself is not when it is repeated."""
    alone, steps = first_run(ready), lost_steps(result) or range(0)
    for one in experiment.systems:
        control = dataclasses.replace(alone.controls[one.name])
        try:
            found = culprit(one.problem, p, alone.values[one.name], alone.key, control, steps)
        except DivergedError as failure:
            # Cut into other segments, and so with other last bits, a run on the edge does leave the finite numbers.
            raise explained(experiment, alone, p, failure) from failure
        if found is not None:
            return found
    return None


def explained(experiment: Experiment, ready: Ready, p: P, failure: DivergedError) -> NumericalError:
    """What left the finite numbers, of the system whose run failed."""
    for one in experiment.systems:
        if failure.problem == one.name:
            held = ready.values[one.name]
            if held["system.positions"].ndim == 2:
                return explain(one.problem, p, held, ready.key, ready.controls[one.name], failure)
            return _explained_replica(one, ready, p, failure)
    return failure


def first_run(ready: Ready) -> Ready:
    """The first of replicas alone; a run without replicas as it is."""
    values = {
        name: replica_values(held, 0) if held["system.positions"].ndim == 3 else held
        for name, held in ready.values.items()
    }
    return dataclasses.replace(ready, values=values)


def _explained_replica(one: BuiltSystem, ready: Ready, p: P, failure: DivergedError) -> NumericalError:
    """The first replica that left the finite numbers, and what did."""
    held = ready.values[one.name]
    recorder, quiet = Recorder(one.problem), list[str]()
    keys = replica_keys(ready.key, held["system.positions"].shape[0])
    for number, key in enumerate(keys):
        own = replica_values(held, number)
        control = dataclasses.replace(ready.controls[one.name])
        plan = segments([Leg(one.problem.steps, 0, ())], one.problem.longest(control.plan))
        try:
            state = recorder.start(p, own, control)
            recorder.run(p, own, key, control, state, plan, lambda *_: None, quiet.append)
        except DivergedError as found:
            sentence = explain(one.problem, p, own, key, control, found)
            return NumericalError(f"replica {number}: {sentence}")
    return failure
