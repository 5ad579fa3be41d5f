"""The first line of a command: what it is about to do, with which config, before anything slow is imported."""

from __future__ import annotations

from diffmd.commands.run.request import Request
from diffmd.config.reading import outline

_DEVICES = {"auto": "", "cpu": " on the CPU", "gpu": " on the GPU"}


def opening_line(command: str, request: Request) -> str:
    """``gradient of configs/lj_liquid.yaml: 500 atoms, lennard_jones, 100 steps``; of a command without a config, that
    it takes its built-in set."""
    where = _DEVICES[request.device]
    if request.written is None:
        return f"{command} of the built-in set{where}"
    sentence = outline(request.written)
    return f"{command} of {request.config}{where}" + (f": {sentence}" if sentence else "")
