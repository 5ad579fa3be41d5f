"""From a checked config to what runs: systems, values, force fields, dynamics, losses, the objective."""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffmd.box import Box
from diffmd.config.atoms import Before, StartingAtoms, starting_atoms
from diffmd.config.checks.geometry import check_reach
from diffmd.config.checks.parameters import rule_problems, slope_problems
from diffmd.config.checks.targets import compare_shapes
from diffmd.config.curves import read_curve
from diffmd.config.effective import EffectiveSystem, effective_systems
from diffmd.config.exclusions import bonded_pairs, excluded_pairs
from diffmd.config.loading import LoadedConfig
from diffmd.config.schema import Config
from diffmd.config.sections.loss import LossTermSpec
from diffmd.config.terms import loss_term, reader_of
from diffmd.config.user_code import load_function
from diffmd.dynamics.dynamics import Dynamics
from diffmd.dynamics.run.host_loop import ListControl
from diffmd.dynamics.run.list_lifetime import first_block, likely_speed
from diffmd.errors import ConfigError
from diffmd.forcefield import ForceField
from diffmd.io.results import read_weights
from diffmd.losses import LossTerm, frame_steps
from diffmd.neighbors import plan as plan_neighbors
from diffmd.objective import Objective, Problem
from diffmd.observables.base import Observable, ObservableContext, SeriesObservable
from diffmd.parameters import Parameters, Selection
from diffmd.paths import last
from diffmd.potentials.base import BuildContext, Potential
from diffmd.simulation import Recorder
from diffmd.system import System, Values
from diffmd.units import SYSTEMS

EQUILIBRATION = "dynamics.equilibration"
Functions = Callable[[str, Path, str, bool], Callable[..., Any]]
"""(reference, folder, path in the config, whether importing is allowed) -> the user's function."""


@dataclasses.dataclass(frozen=True, eq=False)
class BuiltSystem:
    """One system of an experiment.

    Attributes:
        problem: its trajectory and loss.
        values: its held values.
        equilibration: what runs the steps before the run, and how many; None where there are none.
        bonds: pairs to draw and to write.
        names: of the atoms, where a structure file has such; None: those of their types.
        recorded: observables that `output` names.
        drawn: number of a replica -> its held values: what the config draws is drawn anew. Number 0 is `values`.
        notes: what whoever runs it should know of how it starts.
    """

    name: str
    effective: EffectiveSystem
    problem: Problem
    values: Values
    equilibration: tuple[Recorder, int] | None
    bonds: np.ndarray
    names: tuple[str, ...] | None
    recorded: Mapping[str, Observable]
    drawn: Callable[[int], Values]
    notes: tuple[str, ...] = ()

    def control(self, values: Values) -> ListControl:
        """How lists are built for a run that starts from `values` (of one or of replicas)."""
        spec = self.effective.dynamics.neighbors
        field = self.problem.dynamics.forcefield
        x = np.asarray(values["system.positions"]).reshape(-1, self.problem.dynamics.system.size, 3)[0]
        cutoff = field.cutoff if field.needs_pairs else None
        kind = spec.kind if field.needs_pairs else "all_pairs"
        box = self.problem.box(values)
        plan = plan_neighbors(kind, x, box, cutoff, spec.skin, self.problem.dynamics.system.excluded)
        if spec.every != "auto" or not plan.is_list:
            return ListControl(plan, 1 if spec.every == "auto" else spec.every, spec.every != "auto")
        return ListControl(plan, first_block(spec.skin, self._speed(values), float(values["dynamics.integrator.dt"])))

    def _speed(self, values: Values) -> float:
        dynamics = self.problem.dynamics
        held, system = dynamics.held_temperature(values), dynamics.system
        kt = None if held is None else system.units.boltzmann * float(held)
        return likely_speed(np.asarray(values["system.velocities"]), system.host_masses(values), kt)


@dataclasses.dataclass(frozen=True, eq=False)
class Experiment:
    """Everything that a config describes, ready to run. Build it inside the precision that the config asks for."""

    loaded: LoadedConfig
    systems: tuple[BuiltSystem, ...]
    objective: Objective
    key: jax.Array

    @property
    def values(self) -> dict[str, Values]:
        """Each system's held values."""
        return {one.name: one.values for one in self.systems}


def build(
    loaded: LoadedConfig,
    *,
    allow_python: bool = True,
    scanned: str | None = None,
    loss: bool = True,
    functions: Functions = load_function,
) -> Experiment:
    """Builds the experiment of a config.

    Args:
        allow_python: whether functions in the user's files may be imported.
        scanned: a path that joins `parameters`.
        loss: whether its loss is going to be measured; without, the objective has no terms.
        functions: how the user's functions are found; a check puts `uncalled_function` in their place.

    Raises:
        ConfigError: for whatever only the atoms, files and functions themselves can tell.
    """
    config = loaded.config
    effective = effective_systems(config)
    parts = [_System(loaded, one, allow_python, functions) for one in effective]
    # What equilibration uses is not differentiated, so it is nothing to learn.
    names = {
        p.effective.name: {key: p.effective.config_path(key) for key in p.values if not key.startswith(EQUILIBRATION)}
        for p in parts
    }
    selections = [
        Selection(
            entry.path,
            tuple(entry.tie),
            entry.lower,
            entry.upper,
            None if entry.transform == "none" else entry.transform,
            entry.learning_rate,
        )
        for number, entry in enumerate(config.parameters)
    ]
    parameters = Parameters.create(selections, names)
    shapes = {p.effective.name: {key: value.shape for key, value in p.values.items()} for p in parts}
    try:
        parameters.check(shapes)
    except ConfigError as problem:
        raise ConfigError(problem.message, "parameters") from problem
    _check_starts(config, parameters, selections, parts)
    if scanned is not None:
        try:
            Parameters(()).joined(scanned, names).check(shapes)
            parameters = parameters.joined(scanned, names)
        except ConfigError as problem:
            raise ConfigError(f"--over {problem.message}") from problem
    systems = tuple(part.finished(parameters, loss) for part in parts)
    objective = Objective(tuple(one.problem for one in systems), parameters)
    return Experiment(loaded, systems, objective, jax.random.key(config.seed))


def _check_starts(
    config: Config, parameters: Parameters, selections: Sequence[Selection], parts: Sequence[_System]
) -> None:
    """Raises ConfigError where a starting value that no check knew, since the atoms come from a file, breaks its
    rules."""
    by_name = {part.effective.name: part for part in parts}
    for leaf in parameters.leaves:
        number = next(k for k, selection in enumerate(selections) if selection is leaf.selection)
        for place in leaf.places:
            start = np.asarray(by_name[place.system].values[place.key])
            chosen = np.asarray(start if place.index is None else start[place.index])
            part, where = by_name[place.system], f"parameters.{number}"
            found = [
                *rule_problems(config.parameters[number], chosen, where),
                *slope_problems(part.effective, part.potentials, place.key, part.values, where),
            ]
            if found:
                raise found[0]


def seed_of(seed: int, path: str) -> int:
    """A seed for the random numbers of one path: different paths draw different numbers."""
    return int(np.random.SeedSequence([seed, zlib.crc32(path.encode())]).generate_state(1, np.uint64)[0])


def _clock(before: Before, dt: float) -> tuple[int, float]:
    """See `Dynamics`: times are steps times dt where they have been so far, to the last bit."""
    return (0, 0.0) if math.isclose(before.time, before.step * dt) else (before.step, before.time)


def _told(before: Before, dynamics: Dynamics, path: str) -> Iterator[str]:
    """That atoms are of other types than in the run before, or the same velocities of another temperature."""
    if before.differs is not None:
        yield f"{path}: {before.differs} than in that run; what is not given here is still taken from there"
    then, now = before.degrees_of_freedom, dynamics.degrees_of_freedom
    if before.temperature is None or then is None or then == now:
        return
    unit = dynamics.system.units.symbol("temperature")
    both = (before.temperature, before.temperature * then / now)
    there, here = (f"{t:.5g}" + (f" {unit}" if unit else "") for t in both)
    why = "keeps or removes" if now < then else "does not keep"
    yield (
        f"{path}: the earlier run counted {then} degrees of freedom, this one {now}, since it {why} the total "
        f"momentum; the same velocities have a temperature of {here} here, {there} there"
    )


class _System:
    """Builds one system, in the order in which its parts need each other."""

    def __init__(
        self, loaded: LoadedConfig, effective: EffectiveSystem, allow_python: bool, functions: Functions
    ) -> None:
        self.loaded, self.effective = loaded, effective
        self._allow_python, self._functions = allow_python, functions
        units = SYSTEMS[loaded.config.units]
        self.atoms = self._atoms(0)
        none = np.zeros((0, 2), int)
        bare = self.atoms.groups.system(none, units)
        made = {path: self._potential(path, spec, bare) for path, spec in effective.potentials.items()}
        if self.atoms.box_shape != "none":
            check_reach(effective, self.atoms.box_vectors, made)
        self.potentials = {last(path): potential for path, potential in made.items()}
        self.bonds = bonded_pairs(self.potentials.values())
        self.atoms = self.atoms.whole(self.bonds)
        excluded = excluded_pairs(self.potentials.values(), bare.size, effective.system.exclusions)
        self.system = dataclasses.replace(bare, excluded=excluded)
        self.values = self._values()

    def _atoms(self, replica: int) -> StartingAtoms:
        """The atoms as a replica starts; the first is the run without replicas."""
        config, moves = self.loaded.config, self.effective.dynamics
        momentum = _built(moves.integrator).conserves_momentum or moves.remove_com_motion > 0

        def seed(path: str) -> int:
            return seed_of(config.seed, f"replica {replica}: {path}" if replica else path)

        return starting_atoms(self.effective, SYSTEMS[config.units], seed, self.loaded.folder, momentum)

    def _drawn(self, replica: int) -> Values:
        if not replica:
            return self.values
        atoms = self._atoms(replica).whole(self.bonds)
        moved = {"system.positions": atoms.positions, "system.velocities": atoms.velocities}
        return {**self.values, **{path: jnp.asarray(value, dtype=float) for path, value in moved.items()}}

    def finished(self, parameters: Parameters, loss: bool) -> BuiltSystem:
        """The system, once the parameters of all are known, with the terms of its loss or without."""
        spec = self.effective.dynamics
        field = ForceField.create(self.system, self.potentials, "reverse")
        integrator, thermostat = _built(spec.integrator), _built(spec.thermostat)
        # Systems of the same size side by side draw different noise; even numbers leave room for equilibration's.
        stream = 0 if self.effective.name == "default" else 2 * (zlib.crc32(self.effective.name.encode()) >> 2)
        before = self.atoms.before
        clock = (0, 0.0) if before is None else _clock(before, float(integrator.parameters["dt"]))
        dynamics = Dynamics(field, integrator, thermostat, spec.remove_com_motion, stream=stream, clock=clock)
        box = Box(jnp.asarray(self.atoms.box_vectors), self.atoms.box_shape)
        terms: list[LossTerm] = []
        for number, term in enumerate(self.effective.loss if loss else ()):
            # Terms that measure the same share the observable, which is measured once.
            earlier = (k for k in range(number) if self.effective.loss[k].observable == term.observable)
            same = next(earlier, None)
            terms.append(self._term(term, box, number, None if same is None else terms[same].observable))
        recorded = {
            name: _built(one, self._context(box, f"output.observables.{name}"))
            for name, one in self.loaded.config.output.observables.items()
        }
        problem = Problem(
            self.effective.name,
            self.effective.weight,
            dynamics,
            tuple(terms),
            spec.steps,
            parameters,
            self.atoms.box_shape,
            0 if before is None else before.step,
        )
        return BuiltSystem(
            self.effective.name,
            self.effective,
            problem,
            self.values,
            self._equilibration(problem),
            self.bonds,
            self.atoms.names,
            recorded,
            self._drawn,
            () if before is None else tuple(_told(before, dynamics, f"{self.effective.system_path}.start")),
        )

    def _potential(self, path: str, spec: Any, system: System) -> Potential:
        context = BuildContext(
            name=last(path),
            type_names=system.type_names,
            types=system.types,
            seed=seed_of(self.loaded.config.seed, path),
            folder=str(self.loaded.folder),
            read_weights=lambda file: read_weights(self._file(file)),
            load_function=lambda reference: self._function(reference, f"{path}.function"),
            read_curve=lambda file: read_curve(self._file(file)),
        )
        built: Potential = spec.build(context)
        return built

    def _file(self, path: str) -> Path:
        return self.loaded.folder / Path(path).expanduser()

    def _function(self, reference: str, path: str) -> Callable[..., Any]:
        return self._functions(reference, self.loaded.folder, path, self._allow_python)

    def _values(self) -> dict[str, jax.Array]:
        """Every differentiable number, in the precision in force."""
        numbers: dict[str, Any] = {
            "system.positions": self.atoms.positions,
            "system.velocities": self.atoms.velocities,
        }
        if self.atoms.box_shape != "none":
            h = self.atoms.box_vectors
            numbers["system.box"] = np.diag(h) if self.atoms.box_shape == "orthorhombic" else h
        groups = self.atoms.groups
        numbers |= zip(groups.mass_paths, groups.masses, strict=True)
        numbers |= zip(groups.charge_paths, groups.charges, strict=True)
        for name, potential in self.potentials.items():
            numbers |= {f"potentials.{name}.{key}": value for key, value in potential.parameters.items()}
        spec = self.effective.dynamics
        movers = {"dynamics.integrator": spec.integrator, "dynamics.thermostat": spec.thermostat}
        if spec.equilibration is not None:
            movers[f"{EQUILIBRATION}.integrator"] = spec.equilibration.integrator or spec.integrator
            movers[f"{EQUILIBRATION}.thermostat"] = spec.equilibration.thermostat
        for section, mover in movers.items():
            if mover is not None:
                numbers |= {f"{section}.{key}": value for key, value in _built(mover).parameters.items()}
        return {path: jnp.asarray(np.asarray(value), dtype=float) for path, value in numbers.items()}

    def _equilibration(self, problem: Problem) -> tuple[Recorder, int] | None:
        spec = self.effective.dynamics.equilibration
        if spec is None or not spec.steps:
            return None
        run = problem.dynamics
        integrator, thermostat = _built(spec.integrator) or run.integrator, _built(spec.thermostat)
        dynamics = Dynamics(run.forcefield, integrator, thermostat, run.com_every, EQUILIBRATION, run.stream + 1)
        return Recorder(problem, None, dynamics), spec.steps

    def _context(self, box: Box, path: str) -> ObservableContext:
        system = self.system
        return ObservableContext(
            system,
            box,
            path,
            self.atoms.positions,
            reader_of(self.loaded.folder, system, box, self.bonds),
            self._function,
            tuple(self.potentials),
            self.bonds,
        )

    def _term(
        self, spec: LossTermSpec, box: Box, number: int, shared: Observable | SeriesObservable | None
    ) -> LossTerm:
        name = f"{self.effective.loss_path}.{number}"
        context = self._context(box, f"{name}.observable")
        dynamics = self.effective.dynamics
        made = loss_term(
            spec,
            _built(spec.observable, context) if shared is None else shared,
            name=name,
            folder=self.loaded.folder,
            context=context,
            masses=self.system.host_masses(self.values),
            steps=dynamics.steps,
            dt=float(_built(dynamics.integrator).parameters["dt"]),
        )
        if isinstance(spec.target, list) and not self.effective.system.atoms:
            # No check could tell, since the atoms come from a file.
            frames = len(frame_steps(made, dynamics.steps))
            compare_shapes(made, frames, self.system.size, box, tuple(self.potentials))
        return made


def _built(spec: Any, *context: Any) -> Any:
    """What a spec of any family builds; None of none."""
    return None if spec is None else spec.build(*context)
