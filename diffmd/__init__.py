"""diffmd: differentiable molecular dynamics from YAML configs.

The commands, from Python (each takes the path of a config, and the options of the command of its name)::

    import diffmd

    config = diffmd.load("configs/lj_fluid.yaml", set=["dynamics.steps=100"]).config
    answer = diffmd.gradient("configs/lj_fluid.yaml", set=["dynamics.steps=100"], output="outputs/probe")
    answer["gradients"]["potentials.lj.sigma"]

    diffmd.universe("outputs/lj_fluid/simulate").atoms.masses  # where MDAnalysis is installed

Each command runs as on the command line, leaves the same run directory, and returns the object that ``--json`` prints.
Nothing is printed, no signal is caught, and no setting of JAX is changed outside the call. Errors are those of
`diffmd.errors`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffmd.commands.api import gradcheck, gradient, load, scan, simulate, train
    from diffmd.io.mdanalysis import universe

__version__ = "0.1.0"
__all__ = ["__version__", "gradcheck", "gradient", "load", "scan", "simulate", "train", "universe"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: `diffmd --help` must not wait for JAX.
    if name == "universe":
        from diffmd.io.mdanalysis import universe

        return universe
    if name in __all__:
        from diffmd.commands import api

        return getattr(api, name)
    raise AttributeError(f"module 'diffmd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
