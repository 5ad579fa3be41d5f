"""`diffmd validate`: checks a config as a run would before it compiles, and shows what the run starts from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from diffmd.commands.config.setup import Setup, setup_of
from diffmd.commands.config.setup_rows import setup_warnings
from diffmd.commands.run.experiment import adjoint_of, check_replicas, replicas_in, starting_parameters
from diffmd.config.build import Experiment, build
from diffmd.config.checks import warnings
from diffmd.config.checks.interactions import NotRead, uncalled_function
from diffmd.config.loading import LoadedConfig, load_written, located
from diffmd.config.reading import WrittenConfig, read
from diffmd.config.start_files import start_notes
from diffmd.config.writing import write_text
from diffmd.errors import ConfigError, NumericalError
from diffmd.objective import Ready


@dataclasses.dataclass(frozen=True)
class ValidateResult:
    """What `validate` found.

    Attributes:
        text: the resolved config as YAML, runnable as it stands from the config's folder.
        warnings: what was left out or added in reading the structure files; what is allowed but odd at the start; and,
            where there are parameters, what spoils gradients.
        unchecked: what only a run can tell, since it would take Python of the user's own.
        systems: what each system's run starts from.
    """

    text: str
    warnings: tuple[str, ...]
    unchecked: tuple[str, ...]
    systems: tuple[Setup, ...]


def validate(path: Path, overrides: tuple[str, ...] = ()) -> ValidateResult:
    """Checks the config at `path` with ``PATH=VALUE`` overrides: all is read and built as for a run, and the forces at
    the start are computed; no user's code is imported.

    Raises:
        ConfigError: with all that is wrong, as a run would say it, forces that are not finite at the start among it.
    """
    return checked(read(path, overrides))


def checked(written: WrittenConfig) -> ValidateResult:
    """Checks a config that was read already. Raises ConfigError as `validate` does."""
    loaded = load_written(written)
    with located(loaded), jax.enable_x64(loaded.config.precision == "double"):
        notes = start_notes(loaded.config, loaded.folder)
        left_out: dict[str, str] = {}
        experiment = _built(loaded, left_out)
        p = starting_parameters(experiment, None)
        if p and all(one.problem.terms for one in experiment.systems):
            method = loaded.config.gradient
            check_replicas(experiment, p, replicas_in(method))
            adjoint_of(method, experiment)
        controls = {one.name: one.control(one.values) for one in experiment.systems}
        ready = Ready(experiment.values, controls, experiment.key)
        try:
            systems = tuple(setup_of(one, p, ready) for one in experiment.systems)
        except NumericalError as problem:
            # A run would fail; here nothing runs, and it is the config that is at fault.
            raise ConfigError(str(problem)) from problem
    pairs = zip(experiment.systems, systems, strict=True)
    odd = [text for one, setup in pairs for text in setup_warnings(setup, one.effective)]
    spoiling = warnings(loaded.config) if loaded.config.parameters else []
    unchecked = tuple(
        f"{place}: {reference} is not imported here; what it gives, only a run can tell"
        for place, reference in left_out.items()
    )
    return ValidateResult(write_text(loaded.data), (*notes, *odd, *spoiling), unchecked, systems)


def _built(loaded: LoadedConfig, left_out: dict[str, str]) -> Experiment:
    """The experiment, without importing functions of the user's own, which join `left_out`: path -> reference."""

    def function(reference: str, folder: Path, path: str, allowed: bool) -> Callable[..., Any]:
        left_out[path] = reference
        return uncalled_function(reference)

    try:
        return build(loaded, functions=function)
    except NotRead:
        # A target is what such a function gives on a structure.
        return build(loaded, functions=function, loss=False)
