"""The Python API: the commands as functions, silent, each returning the object that ``--json`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffmd.commands.gradcheck import gradcheck as gradcheck_command
from diffmd.commands.gradient import gradient as gradient_command
from diffmd.commands.reporter import SilentReporter
from diffmd.commands.request import Device, Request
from diffmd.commands.scan import scan as scan_command
from diffmd.commands.simulate import simulate as simulate_command
from diffmd.commands.train import train as train_command
from diffmd.config.loading import LoadedConfig
from diffmd.config.loading import load as load_config

Location = Path | str


def load(config: Location, *, set: Sequence[str] = ()) -> LoadedConfig:
    """Reads and checks a config with ``PATH=VALUE`` overrides. Raises ConfigError with all that is wrong."""
    return load_config(config, tuple(set))


def simulate(
    config: Location,
    *,
    set: Sequence[str] = (),
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
    set: Sequence[str] = (),
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

    Raises the errors of `diffmd.errors`.
    """
    request = _request(config, set, parameters, output, overwrite, resume, device, allow_python)
    return gradient_command(request, SilentReporter(), method).answer


def gradcheck(
    config: Location | None = None,
    *,
    methods: Sequence[str] = (),
    rtol: float | None = None,
    set: Sequence[str] = (),
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

    Raises the errors of `diffmd.errors`; a row that does not agree raises nothing, see ``passed``.
    """
    request = _request(config, set, parameters, output, overwrite, False, device, allow_python)
    return gradcheck_command(request, SilentReporter(), tuple(methods), rtol).answer


def train(
    config: Location,
    *,
    set: Sequence[str] = (),
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
    set: Sequence[str] = (),
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
    overrides: Sequence[str],
    parameters: str | None,
    output: Location | None,
    overwrite: bool,
    resume: bool,
    device: Device,
    allow_python: bool,
) -> Request:
    return Request(
        config=None if config is None else Path(config),
        overrides=tuple(overrides),
        parameters=parameters,
        output=None if output is None else Path(output),
        overwrite=overwrite,
        resume=resume,
        device=device,
        allow_python=allow_python,
    )
