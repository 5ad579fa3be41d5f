"""Compiled programs, made when first asked for, which know what memory they take."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import jax


class Program:
    """A jitted function that remembers the shapes it was first called with."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._jitted = jax.jit(function)
        self._shapes: Any = None

    def __call__(self, *arguments: Any) -> Any:
        """Runs it, compiling where need be."""
        if self._shapes is None:
            self._shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(jax.numpy.shape(a), a.dtype), arguments)
        return self._jitted(*arguments)

    def temporary(self) -> int:
        """Bytes of the buffers that it takes beside its arguments and results, as XLA planned them; 0 if it never ran.

        It is lowered and compiled once more for the analysis.
        """
        if self._shapes is None:
            return 0
        analysis = self._jitted.lower(*self._shapes).compile().memory_analysis()
        return 0 if analysis is None else int(analysis.temp_size_in_bytes)


class ProgramCache:
    """Programs by name."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Program] = {}

    def once(self, name: Hashable, function: Callable[..., Any]) -> Program:
        """The program of that name; `function` is compiled if there is none yet."""
        if name not in self._made:
            self._made[name] = Program(function)
        return self._made[name]

    def temporary(self) -> int:
        """Bytes of the largest program's buffers."""
        return max((program.temporary() for program in self._made.values()), default=0)
