"""The Python API: the commands as functions, silent, each returning the object that ``--json`` prints."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffmd.commands.gradcheck.gradcheck import gradcheck as gradcheck_command
from diffmd.commands.gradient import gradient as gradient_command
from diffmd.commands.run.reporter import SilentReporter
from diffmd.commands.run.request import Device, Request
from diffmd.commands.scan import scan as scan_command
from diffmd.commands.simulate import simulate as simulate_command
from diffmd.commands.train import train as train_command
from diffmd.config.loading import LoadedConfig
from diffmd.config.loading import load as load_config

Location = Path | str
Overrides = Mapping[str, Any] | Sequence[str]
"""Values by path, ``{"potentials.lj.sigma": 0.34}``, or the command line's ``PATH=VALUE``."""


def load(config: Location, *, set: Overrides = ()) -> LoadedConfig:
    """Reads and checks a config, with the values of `set` in it. Raises ConfigError with all that is wrong."""
    return load_config(config, _assignments(set))


def simulate(
    config: Location,
    *,
    set: Overrides = (),
    parameters: str | None = None,
    output: Location | None = None,
    overwrite: bool = False,
    resume: bool = False,
    device: Device = "auto",
    allow_python: bool = True,
) -> dict[str, Any]:
    """Runs the dynamics; leaves the trajectory and the observables in `output`.

    Raises the errors of `diffmd.errors`.
    """
    request = _request(config, set, parameters, output, overwrite, resume, device, allow_python)
    return simulate_command(request, SilentReporter()).answer


def gradient(
    config: Location,
    *,
    method: str | None = None,
    set: Overrides = (),
    parameters: str | None = None,
    output: Location | None = None,
    overwrite: bool = False,
    resume: bool = False,
    device: Device = "auto",
    allow_python: bool = True,
) -> dict[str, Any]:
    """The loss and its gradient: ``loss``, ``terms``, ``parameters``, ``gradients``, ``health``.

    Args:
        method: reverse, forward, finite-difference, ... in place of the config's.
        set: values by path, such as ``{"potentials.lj.sigma": 0.34}``, or ``PATH=VALUE`` as on the command line.
        output: where the run goes, by default outputs/<config name>/gradient; a loop names a folder for each of its
            points, or has each take the place of the last by `overwrite`.

    Raises the errors of `diffmd.errors`.
    """
    request = _request(config, set, parameters, output, overwrite, resume, device, allow_python)
    return gradient_command(request, SilentReporter(), method).answer


def gradcheck(
    config: Location | None = None,
    *,
    methods: Sequence[str] = (),
    rtol: float | None = None,
    full: bool = False,
    only: str | None = None,
    set: Overrides = (),
    parameters: str | None = None,
    output: Location | None = None,
    overwrite: bool = False,
    device: Device = "auto",
    allow_python: bool = True,
) -> dict[str, Any]:
    """Checks gradients against finite differences: ``passed`` and ``rows``; without a config, the built-in set.

    Args:
        methods: which to check; none: all that apply.
        rtol: relative tolerance; None: 1e-6 in double, 1e-2 in single precision.
        full: all of the built-in set, which takes minutes, and not one case a family.
        only: of all of the built-in set the cases, of a config the parameters, whose name has this in it or fits it as
            a glob.

    Raises the errors of `diffmd.errors`; a row that does not agree raises nothing, see ``passed``.
    """
    request = _request(config, set, parameters, output, overwrite, False, device, allow_python)
    return gradcheck_command(request, SilentReporter(), tuple(methods), rtol, full, only).answer


def train(
    config: Location,
    *,
    set: Overrides = (),
    parameters: str | None = None,
    output: Location | None = None,
    overwrite: bool = False,
    resume: bool = False,
    device: Device = "auto",
    allow_python: bool = True,
) -> dict[str, Any]:
    """Optimizes the parameters: ``loss``, ``best_loss``, ``epochs``, ``parameters``, ``best_parameters``, ``output``.

    Raises the errors of `diffmd.errors`.
    """
    request = _request(config, set, parameters, output, overwrite, resume, device, allow_python)
    return train_command(request, SilentReporter()).answer


def scan(
    config: Location,
    over: str,
    *,
    set: Overrides = (),
    parameters: str | None = None,
    output: Location | None = None,
    overwrite: bool = False,
    resume: bool = False,
    device: Device = "auto",
    allow_python: bool = True,
) -> dict[str, Any]:
    """Loss and gradient along a grid: ``path`` and ``points``.

    Args:
        over: ``PATH=START:STOP:NUM``, ends included.

    Raises the errors of `diffmd.errors`.
    """
    request = _request(config, set, parameters, output, overwrite, resume, device, allow_python)
    return scan_command(request, SilentReporter(), over).answer


def _request(
    config: Location | None,
    overrides: Overrides,
    parameters: str | None,
    output: Location | None,
    overwrite: bool,
    resume: bool,
    device: Device,
    allow_python: bool,
) -> Request:
    return Request(
        config=None if config is None else Path(config),
        overrides=_assignments(overrides),
        parameters=parameters,
        output=None if output is None else Path(output),
        overwrite=overwrite,
        resume=resume,
        device=device,
        allow_python=allow_python,
    )


def _assignments(overrides: Overrides) -> tuple[str, ...]:
    """``PATH=VALUE`` of each; values as JSON, which is YAML, and arrays as lists."""
    if isinstance(overrides, str):
        return (overrides,)
    if not isinstance(overrides, Mapping):
        return tuple(overrides)
    values = {path: json.dumps(value, default=_plain) for path, value in overrides.items()}
    return tuple(f"{path}={value}" for path, value in values.items())


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else np.asarray(value).tolist()
