"""The options that programs are compiled with.

On a CPU, XLA's fast math without what makes it unsafe: sums may be taken in another order, products and sums be fused,
and the sign of a zero be lost; nan, infinities, divisions and functions are honoured. (But what a sum adds and takes
away again may be left out of it, even where it is nan: x - x is 0, and (x + c) - c is x.) Without it a sum over
neighbours is not vectorised, for a compiler may not reorder it. Results differ in their last bits from those without,
and are repeatable on one machine either way. See https://openxla.org/xla/flags_guidance.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import Any, final

import jax
import jax.numpy as jnp

SWITCH = "DIFFMD_FAST_MATH"
"""The environment variable that leaves the options out where it is ``off``, ``0``, ``no`` or ``false``."""
_OFF = ("0", "off", "no", "false")
_CPU = {
    "xla_cpu_enable_fast_math": True,
    "xla_cpu_fast_math_honor_nans": True,
    "xla_cpu_fast_math_honor_infs": True,
    "xla_cpu_fast_math_honor_division": True,
    "xla_cpu_fast_math_honor_functions": True,
}


@final
@dataclasses.dataclass(frozen=True)
class CompilerOptions:
    """Options of XLA, and why there are none where there are none.

    Attributes:
        options: name -> value.
        reason: in words; empty where there are options.
    """

    options: dict[str, bool]
    reason: str = ""

    @property
    def record(self) -> dict[str, Any]:
        """The fields of run.json that say how its programs were compiled."""
        return {"compiler_options": self.options} | ({"compiler_note": self.reason} if self.reason else {})


def compiler_options() -> CompilerOptions:
    """The options for the default device, as it is now."""
    if os.environ.get(SWITCH, "").lower() in _OFF:
        return CompilerOptions({}, f"without fast math: {SWITCH}={os.environ[SWITCH]}")
    if platform() != "cpu":
        return CompilerOptions({}, f"compiled with the defaults for {platform()}")
    return _probed()


def platform() -> str:
    """The kind of the default device, as it is now."""
    device = jax.default_device.value
    return str(jax.default_backend() if device is None else getattr(device, "platform", device))


def compiled(function: Callable[..., Any], static: tuple[int, ...] = ()) -> Any:
    """A function that is compiled when it is called, with the options for the default device of this moment.

    Args:
        static: which of its arguments are no arrays.
    """
    return jax.jit(function, static_argnums=static, compiler_options=compiler_options().options or None)


@functools.cache
def _probed() -> CompilerOptions:
    """The options of CPU programs, if this XLA knows them: one that does not refuses every program that has them."""
    probe = jax.jit(lambda x: x + x, compiler_options=_CPU)
    try:
        probe.lower(jax.ShapeDtypeStruct((), jnp.result_type(float))).compile()
    except jax.errors.JaxRuntimeError as refusal:
        return CompilerOptions({}, f"without fast math: {str(refusal).splitlines()[0]}")
    return CompilerOptions(_CPU)
