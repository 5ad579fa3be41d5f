"""Programs: traced once, compiled aside, shared below a scope."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffmd.programs import Program, ProgramCache


def counted(function: Callable[..., Any]) -> tuple[Program, list[int]]:
    """A program, and how often it was traced."""
    traces: list[int] = []

    def once_more(*arguments: Any) -> Any:
        traces.append(1)
        return function(*arguments)

    return Program(once_more), traces


def test_shapes_memory_and_the_call_share_one_trace():
    # A Python number is weakly typed: a trace for its shape alone would be another one.
    program, traces = counted(lambda x, scale: jnp.sort(x * scale))
    given = (jnp.ones(7), jnp.asarray(2.0))
    assert program.outputs(*given).shape == (7,)
    assert program.planned(*given) >= 0
    program(*given)
    assert program.temporary() == program.planned(*given)
    assert len(traces) == 1
    program(jnp.ones(8), given[1])
    assert len(traces) == 2


def test_a_program_compiled_aside_is_the_one_that_runs():
    program, traces = counted(lambda x: jnp.cos(x) + 1)
    program.prepare(jax.ShapeDtypeStruct((3,), np.float32))
    np.testing.assert_allclose(program(np.zeros(3, np.float32)), 2)
    assert len(traces) == 1


def test_what_is_no_array_is_static():
    program = Program(lambda x, axis: jnp.sum(x, axis), static=(1,))
    assert program(jnp.ones((2, 3)), 0).shape == (3,)
    assert program(jnp.ones((2, 3)), 1).shape == (2,)


def test_scopes_of_the_same_names_share_programs_and_others_do_not():
    cache = ProgramCache()
    first = cache.scope("reverse", 1).once("run", jnp.sin)
    assert cache.scope("reverse").scope(1).once("run", jnp.cos) is first
    assert cache.scope("reverse", 2).once("run", jnp.cos) is not first
    first(jnp.ones(3))
    assert cache.scope("reverse", 2).temporary() == 0
    assert cache.scope("reverse", 1).temporary() == first.temporary()
