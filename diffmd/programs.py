"""Compiled programs, made when first asked for, which know what memory they take."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Hashable
from typing import Any

import jax
import numpy as np

from diffmd.compiler import compiled


class Program:
    """A function that is compiled when first called, and remembers the largest arguments it had, by their shapes.

    It is traced, lowered and compiled once for arguments of the same shapes and types, whether they are called with,
    asked about, or both.

    Args:
        function: of arrays, and of what `static` says.
        static: which of its arguments are no arrays.
    """

    def __init__(self, function: Callable[..., Any], static: tuple[int, ...] = ()) -> None:
        self._function, self._static = function, static
        self._shapes: Any = None
        self._size = -1
        self._compiling: threading.Thread | None = None

    @functools.cached_property
    def _jitted(self) -> Any:
        return compiled(self._function, self._static)

    def __call__(self, *arguments: Any) -> Any:
        """Runs it, compiling where need be."""
        size = sum(int(np.prod(np.shape(leaf))) for leaf in jax.tree.leaves(arguments))
        if size > self._size:
            self._shapes, self._size = jax.tree.map(_shape, arguments), size
        if self._compiling is not None:
            self._compiling.join()
            self._compiling = None
        return self._jitted(*arguments)

    @property
    def begun(self) -> bool:
        """Whether it was called, or prepared."""
        return self._shapes is not None or self._compiling is not None

    def prepare(self, *arguments: Any) -> None:
        """Starts to compile it for arguments like these, beside what the caller does until it calls the program.

        Tracing and lowering are done before this returns. What goes wrong in compiling goes wrong again in the call.
        """
        lowered = self._jitted.lower(*jax.tree.map(_shape, arguments))
        self._compiling = threading.Thread(target=_compile, args=(lowered,))
        self._compiling.start()

    def outputs(self, *arguments: Any) -> Any:
        """The shapes of what it makes of arguments like these; nothing is compiled."""
        return self._jitted.trace(*jax.tree.map(_shape, arguments)).out_info

    def planned(self, *arguments: Any) -> int:
        """Bytes of the buffers that it would take beside arguments like these and what it makes of them.

        It is compiled, and not run.
        """
        analysis = self._jitted.lower(*jax.tree.map(_shape, arguments)).compile().memory_analysis()
        return 0 if analysis is None else int(analysis.temp_size_in_bytes)

    def temporary(self) -> int:
        """Bytes of the buffers that it took, as XLA planned them; 0 if it never ran."""
        return 0 if self._shapes is None else self.planned(*self._shapes)


class ProgramCache:
    """Programs by name. A `scope` of it is a cache of its own within, which another with the same scope shares."""

    def __init__(self) -> None:
        self._made: dict[tuple[Hashable, ...], Program] = {}
        self._scope: tuple[Hashable, ...] = ()

    def scope(self, *names: Hashable) -> ProgramCache:
        """The programs below these names."""
        within = ProgramCache()
        within._made, within._scope = self._made, (*self._scope, *names)
        return within

    def once(self, name: Hashable, function: Callable[..., Any]) -> Program:
        """The program of that name; `function` is compiled if there is none yet."""
        return self._made.setdefault((*self._scope, name), Program(function))

    def temporary(self) -> int:
        """Bytes of the largest program's buffers."""
        depth = len(self._scope)
        own = [program for name, program in self._made.items() if name[:depth] == self._scope]
        return max((program.temporary() for program in own), default=0)


def _compile(lowered: jax.stages.Lowered) -> None:
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        lowered.compile()


def _shape(leaf: Any) -> Any:
    """The shape of an array, with all that a trace depends on; what is no array is itself."""
    if not isinstance(leaf, (jax.Array, np.ndarray)):
        return leaf
    sharding = leaf.sharding if isinstance(leaf, jax.Array) and leaf.committed else None
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, weak_type=jax.typeof(leaf).weak_type, sharding=sharding)
