"""Where a potential's numbers come from: one number, one per type or pair of types, or one per term.

A value in the config is a scalar (parameter ``k``), a list with one number per term (parameter ``k``, an array), or a
mapping by types (parameters ``k.C-H``, ``k.H-O-H``, each a scalar; the order of a key's types may be reversed, and
they are found by the names there are, which may hold hyphens, too: a key that is a type's name is that type, and what
can be read in two other ways is refused). What is built here remembers which parameter goes where, so that the tables
are assembled from the values in force by plain JAX, without scatters in either direction.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from diffmd.errors import ConfigError
from diffmd.paths import child, split
from diffmd.slopes import Slope

Mixing = Callable[[Array, Array], Array]
Parameters = Mapping[str, Array]


def _readings(key: str, names: Sequence[str], arity: int) -> set[tuple[int, ...]]:
    """Every way to read `key` as `arity` type names joined by hyphens (which names may contain, too)."""
    parts = key.split("-")
    found = set()
    for cuts in itertools.combinations(range(1, len(parts)), arity - 1):
        bounds = (0, *cuts, len(parts))
        words = ["-".join(parts[i:j]) for i, j in itertools.pairwise(bounds)]
        if all(word in names for word in words):
            types = tuple(names.index(word) for word in words)
            found.add(min(types, types[::-1]))
    return found


def resolve_types(key: str, names: Sequence[str], arity: int, path: str) -> tuple[int, ...]:
    """The type indices that `key` names, in the smaller of its two orders.

    Raises:
        ConfigError: at `path`, if a type is unknown or the key can be read in more than one way.
    """
    readings = _readings(key, names, arity)
    if len(readings) == 1:
        return readings.pop()
    if readings:
        raise ConfigError(f"'{key}' can be read as types in more than one way; rename a type", path)
    joined = ("-".join(words) for words in itertools.product(names, repeat=arity))
    candidates = [*names, *itertools.islice(joined, 1000)]
    # One type alone comes here only where it will not do.
    close = ["-".join([key] * arity)] if key in names else difflib.get_close_matches(key, candidates, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    one_will_do = ", nor one type" if arity == 2 and key not in names else ""
    what = f"{arity} of the system's types joined by hyphens{one_will_do}"
    raise ConfigError(f"'{key}' is not {what} (types: {', '.join(names)}){hint}", path)


def _spread(values: Sequence[Array], index: Int[np.ndarray, "*shape"]) -> Float[Array, "*shape"]:
    """values[index], zero where the index is -1. Sums over masks, because a gather's transpose is a scatter."""
    masks = index[..., None] == np.arange(len(values))
    return jnp.sum(jnp.where(masks, jnp.stack([jnp.asarray(v) for v in values]), 0), axis=-1)


@dataclasses.dataclass(frozen=True, eq=False)
class PairValue:
    """One number of a pair of types.

    Attributes:
        parameter: the parameter's path where one number (or one array over types) serves all; None for a mapping.
        own: the parameter of each type's own value.
        given: the parameters of pairs given explicitly.
        index: which of `given` a pair takes, -1 for mixing.
    """

    parameter: str | None
    own: tuple[str, ...]
    given: tuple[str, ...]
    index: Int[np.ndarray, "types types"]

    def table(self, p: Parameters, mixing: Mixing) -> Float[Array, "..."]:
        """The number for every pair of types: () if all are alike, else (types, types).

        Like pairs take the type's own value; unlike ones `mixing` of the two types' values, unless given.
        """
        if self.parameter is not None and jnp.ndim(p[self.parameter]) == 0:
            return jnp.asarray(p[self.parameter])
        own = jnp.stack([p[key] for key in self.own]) if self.parameter is None else jnp.asarray(p[self.parameter])
        like = np.eye(len(own), dtype=bool)
        # An unlike pair's formula need not be differentiable on the diagonal, so it never sees the diagonal.
        mixed = mixing(jnp.where(like, 1, own[:, None]), jnp.where(like, 1, own[None, :]))
        table = jnp.where(like, own[:, None], mixed)
        if self.given:
            table = jnp.where(self.index >= 0, _spread([p[key] for key in self.given], self.index), table)
        return table[0, 0] if len(own) == 1 else table

    def _own(self, p: Mapping[str, np.ndarray]) -> Float[np.ndarray, "types"]:
        """Each type's own value."""
        if self.parameter is not None:
            return np.broadcast_to(p[self.parameter], len(self.index))
        return np.array([float(p[key]) for key in self.own])

    def nonzero(self, p: Mapping[str, np.ndarray], geometric: bool) -> Bool[np.ndarray, "types types"]:
        """Which pairs have a value that is not zero, under a geometric or an arithmetic mean."""
        own = self._own(p) != 0
        mixed = own[:, None] & own if geometric else own[:, None] | own
        given = np.array([float(p[key]) != 0 for key in self.given] + [False])
        return np.where(self.index >= 0, given[self.index], mixed)

    def roots_at_zero(self, p: Mapping[str, np.ndarray], reaching: Bool[np.ndarray, "types types"]) -> dict[str, Slope]:
        """The types' own values that are zero and under the root of a geometric mean with one that is not, in pairs
        that are `reaching` each other."""
        own, found = self._own(p), dict[str, Slope]()
        for i, key in enumerate(self.own):
            others = np.flatnonzero((own != 0) & (self.index[i] < 0) & reaching[i])
            if own[i] == 0 and len(others):
                pairs = [f"{split(self.own[j])[-1]}-{split(key)[-1]}" for j in others]
                found[key] = Slope(
                    True,
                    f"cannot be learned from 0: pairs {', '.join(pairs)} take the geometric mean of both types' "
                    "values, whose derivative is infinite there",
                    f"start from a small number such as 0.001, or give the pairs a value of their own, {pairs[0]}: ...",
                )
        return found

    def flat_at_zero(
        self, p: Mapping[str, np.ndarray], geometric: bool, acting: Bool[np.ndarray, "types types"]
    ) -> list[str]:
        """The parameters that are zero and so is every value made of them, in some pair that is `acting`: what goes as
        a power of the values has no slope there."""
        if self.parameter is not None:
            return [self.parameter] if np.all(p[self.parameter] == 0) and acting.any() else []
        own, values = self._own(p), self.nonzero(p, geometric)
        mixed = self.index < 0
        flat = [
            key
            for i, key in enumerate(self.own)
            if own[i] == 0 and (acting[i] & mixed[i]).any() and not (acting[i] & mixed[i] & values[i]).any()
        ]
        return flat + [key for k, key in enumerate(self.given) if p[key] == 0 and (acting & (self.index == k)).any()]


def pair_value(
    name: str, value: float | Mapping[str, float], type_names: Sequence[str], path: str
) -> tuple[PairValue, dict[str, np.ndarray]]:
    """How `value` (a number, or a mapping by type and pair of types) is looked up, and its starting parameters.

    Raises:
        ConfigError: at `path` below, for an unknown type, a type without a value or a pair given twice.
    """
    n = len(type_names)
    index = np.full((n, n), -1)
    if not isinstance(value, Mapping):
        return PairValue(name, (), (), index), {name: np.asarray(value, dtype=float)}
    given: list[str] = []
    for key in value:
        if key in type_names:
            continue
        i, j = resolve_types(key, type_names, 2, child(path, key))
        if index[i, j] >= 0:
            raise ConfigError(f"the pair {key} is given twice", child(path, key))
        index[i, j] = index[j, i] = len(given)
        given.append(child(name, key))
    _need(type_names, value, path)
    own = tuple(child(name, t) for t in type_names)
    return PairValue(None, own, tuple(given), index), {child(name, k): np.asarray(v, float) for k, v in value.items()}


def _need(type_names: Iterable[str], value: Mapping[str, float], path: str) -> None:
    missing = [name for name in type_names if name not in value]
    if missing:
        raise ConfigError(f"no value for type {', '.join(missing)}", path)


@dataclasses.dataclass(frozen=True, eq=False)
class TermValue:
    """One number of each term of a list.

    Attributes:
        parameter: the parameter's path where a number serves all or an array gives one each; None for a mapping.
        keys: the parameters of a mapping.
        index: which of `keys` each term takes.
    """

    parameter: str | None
    keys: tuple[str, ...]
    index: Int[np.ndarray, "terms"]

    def values(self, p: Parameters) -> Float[Array, "..."]:
        """The number of each term (terms,), or () if one serves all."""
        return (
            jnp.asarray(p[self.parameter])
            if self.parameter is not None
            else _spread([p[k] for k in self.keys], self.index)
        )


def term_value(
    name: str,
    value: float | Sequence[float] | Mapping[str, float],
    atoms: Int[np.ndarray, "terms arity"],
    types: Int[np.ndarray, "atoms"],
    type_names: Sequence[str],
    path: str,
) -> tuple[TermValue, dict[str, np.ndarray]]:
    """How `value` (a number, one per term, or a mapping by the types of a term's atoms) is looked up.

    Raises:
        ConfigError: at `path` or below, for a wrong number of values, an unknown type, or a term without a value.
    """
    if not isinstance(value, Mapping):
        numbers = np.asarray(value, dtype=float)
        if numbers.ndim == 1 and len(numbers) != len(atoms):
            raise ConfigError(f"{len(numbers)} values for {len(atoms)} terms", path)
        return TermValue(name, (), np.zeros(0, int)), {name: numbers}
    by_types: dict[tuple[int, ...], int] = {}
    for number, key in enumerate(value):
        resolved = resolve_types(key, type_names, atoms.shape[1], child(path, key))
        if resolved in by_types:
            raise ConfigError(f"{key} is given twice", child(path, key))
        by_types[resolved] = number
    index = np.zeros(len(atoms), int)
    for term, row in enumerate(types[atoms]):
        forward = tuple(int(t) for t in row)
        found = by_types.get(min(forward, forward[::-1]))
        if found is None:
            label = "-".join(type_names[t] for t in forward)
            raise ConfigError(f"no value for {label} (term {term}, atoms {atoms[term].tolist()})", path)
        index[term] = found
    keys = tuple(child(name, key) for key in value)
    return TermValue(None, keys, index), {child(name, k): np.asarray(v, float) for k, v in value.items()}
