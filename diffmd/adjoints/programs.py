"""Compiled programs, made when first asked for, which know what memory they take."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import jax
import numpy as np


class Program:
    """A jitted function that remembers the largest arguments it was called with, by their shapes."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._jitted = jax.jit(function)
        self._shapes: Any = None
        self._size = -1

    def __call__(self, *arguments: Any) -> Any:
        """Runs it, compiling where need be."""
        size = sum(int(np.prod(np.shape(leaf))) for leaf in jax.tree.leaves(arguments))
        if size > self._size:
            self._shapes, self._size = _shapes(arguments), size
        return self._jitted(*arguments)

    def outputs(self, *arguments: Any) -> Any:
        """The shapes of what it makes of arguments of these shapes; nothing is compiled."""
        return jax.eval_shape(self._jitted, *_shapes(arguments))

    def planned(self, *arguments: Any) -> int:
        """Bytes of the buffers that it would take beside arguments of these shapes and what it makes of them.

        It is compiled, and not run.
        """
        analysis = self._jitted.lower(*_shapes(arguments)).compile().memory_analysis()
        return 0 if analysis is None else int(analysis.temp_size_in_bytes)

    def temporary(self) -> int:
        """Bytes of the buffers that it took, as XLA planned them; 0 if it never ran.

        It is lowered and compiled once more for the analysis.
        """
        return 0 if self._shapes is None else self.planned(*self._shapes)


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


def _shapes(arguments: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), arguments)
