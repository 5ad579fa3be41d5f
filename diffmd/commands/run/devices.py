"""Where to compute."""

from __future__ import annotations

import jax

from diffmd.commands.run.request import Device
from diffmd.errors import ConfigError


def choose_device(name: Device) -> jax.Device:
    """The first device of the kind `name`; ``auto`` is JAX's own first choice.

    Raises:
        ConfigError: there is none.
    """
    if name == "auto":
        return jax.devices()[0]
    try:
        return jax.devices(name)[0]
    except RuntimeError:
        advice = "; use --device cpu, or install the extra `cuda` where there is an NVIDIA GPU" if name == "gpu" else ""
        raise ConfigError(f"--device {name}: JAX finds no {name.upper()} here{advice}") from None
