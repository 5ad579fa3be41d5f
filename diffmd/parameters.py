"""What is learnt: numbers picked by path, tied, and put back into the values of each system."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from diffmd.errors import ConfigError
from diffmd.paths import last, meant, parent, select, sliced
from diffmd.system import Values

Index = tuple[int | slice, ...]


@dataclasses.dataclass(frozen=True)
class Selection:
    """One entry of the config's ``parameters``: a path (with globs or a slice) and the paths tied to it.

    `lower`, `upper`, `transform` and `learning_rate` concern the optimiser alone.
    """

    path: str
    tie: tuple[str, ...] = ()
    lower: float | None = None
    upper: float | None = None
    transform: str | None = None
    learning_rate: float | None = None


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a parameter goes: the key in one system's values, and the part of it (None: all)."""

    system: str
    key: str
    index: Index | None


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One leaf: its full path (the name in every report), every place it fills, and the entry that asked for it."""

    path: str
    places: tuple[Place, ...]
    selection: Selection


@dataclasses.dataclass(frozen=True)
class Parameters:
    """The parameters of an objective over one or several systems, which share every path that is not a system's own.

    A system's values have local keys (``system.box``); the full path of a system's own number in a config of several
    systems is ``systems.NAME.system.box``, and in a single-system config the key itself.
    """

    leaves: tuple[Parameter, ...]

    @staticmethod
    def create(selections: Sequence[Selection], names: Mapping[str, Mapping[str, str]]) -> Parameters:
        """Resolves selections to leaves.

        Args:
            names: for each system, its values' keys and the full path of each. Systems share what has the same path.

        Raises:
            ConfigError: a path names nothing, or two entries name the same number.
        """
        index: dict[str, tuple[Place, ...]] = {}
        for system, local in names.items():
            for key, full in local.items():
                index[full] = (*index.get(full, ()), Place(system, key, None))
        leaves: list[Parameter] = []
        claimed: dict[tuple[str, str], str] = {}
        for number, selection in enumerate(selections):
            where = f"parameters.{number}"
            found = _match(selection.path, index, where)
            ties = [_match(path, index, where) for path in selection.tie]
            for k, (path, places) in enumerate(found):
                tied: list[Place] = []
                for group in ties:
                    if len(group) != len(found):
                        raise ConfigError(
                            f"{selection.path} has {len(found)} values, what is tied to it {len(group)}", where
                        )
                    tied += group[k][1]
                for place in (*places, *tied):
                    name = (place.system, place.key)
                    if name in claimed and (place.index is None or claimed[name] != "sliced"):
                        raise ConfigError(f"{path} is named twice in parameters", where)
                    claimed[name] = "sliced" if place.index is not None else path
                leaves.append(Parameter(path, (*places, *tied), selection))
        return Parameters(tuple(leaves))

    def joined(self, path: str, names: Mapping[str, Mapping[str, str]]) -> Parameters:
        """These and what is scanned, which is put in last: inside one of the others it has the say.

        Args:
            names: as for `create`.

        Raises:
            ConfigError: the path names nothing, or what is tied to something else.
        """
        scanned = Parameters.create([Selection(path)], names)
        if {leaf.path for leaf in scanned.leaves} <= {leaf.path for leaf in self.leaves}:
            return self
        for leaf in self.leaves:
            if leaf.selection.tie and any(scanned.touches(place.system, place.key) for place in leaf.places):
                tied = ", ".join(leaf.selection.tie)
                raise ConfigError(f"{path}: {tied} is tied to {leaf.path}; scan that, or leave the tie out")
        return Parameters((*self.leaves, *scanned.leaves))

    def check(self, shapes: Mapping[str, Mapping[str, tuple[int, ...] | None]]) -> None:
        """Raises ConfigError where a slice selects nothing, a tied number has another shape than what owns it, or two
        slices name the same number.

        Args:
            shapes: of each system's values by key; None where it is not known yet.
        """
        taken: dict[tuple[str, str], np.ndarray] = {}
        for leaf in self.leaves:
            owner: tuple[int, ...] | None = None
            for number, place in enumerate(leaf.places):
                shape = shapes[place.system].get(place.key)
                if shape is None:
                    continue
                mark = np.zeros(shape, bool)
                try:
                    chosen = mark[... if place.index is None else place.index].shape
                except IndexError:
                    chosen = (0,)
                if 0 in chosen:
                    raise ConfigError(f"{leaf.path} selects nothing: {place.key} has shape {list(shape)}")
                owner = chosen if number == 0 else owner
                if owner is not None and chosen != owner:
                    raise ConfigError(
                        f"{place.key} has shape {list(chosen)} and cannot be tied to {leaf.path} of shape {list(owner)}"
                    )
                mark[... if place.index is None else place.index] = True
                if np.any(taken.setdefault((place.system, place.key), np.zeros(shape, bool)) & mark):
                    raise ConfigError(f"{leaf.path} names numbers that another entry of parameters names, too")
                taken[place.system, place.key] |= mark

    def initial(self, values: Mapping[str, Values]) -> dict[str, Array]:
        """Starting values by path."""
        out = {}
        for leaf in self.leaves:
            first = leaf.places[0]
            value = values[first.system][first.key]
            out[leaf.path] = value if first.index is None else value[first.index]
        return out

    def bind(self, system: str, p: Mapping[str, Array], values: Values) -> dict[str, Array]:
        """One system's values with the parameters in their places."""
        out = dict(values)
        for leaf in self.leaves:
            for place in leaf.places:
                if place.system == system:
                    new = p[leaf.path]
                    key = place.key
                    if place.index is not None:
                        new = out[key].at[place.index].set(new)
                    # On the host a reshape, too, is a compiled program.
                    out[key] = new if new.shape == out[key].shape else jnp.reshape(new, out[key].shape)
        return out

    def touches(self, system: str, key: str) -> bool:
        """Whether any parameter fills this value."""
        return any(place.system == system and place.key == key for leaf in self.leaves for place in leaf.places)


def parse_index(text: str) -> Index:
    """``0:10, 2`` as a tuple of slices and integers. Raises ValueError."""
    out: list[int | slice] = []
    for part in text.split(","):
        bounds = [int(b) if b.strip() else None for b in part.split(":")]
        if len(bounds) > 3 or (len(bounds) == 1 and bounds[0] is None):
            raise ValueError(f"[{text}] is not a slice")
        out.append(slice(*bounds) if len(bounds) > 1 else int(part))
    return tuple(out)


def _match(path: str, index: Mapping[str, tuple[Place, ...]], where: str) -> list[tuple[str, tuple[Place, ...]]]:
    """The leaves that a path names: itself, all below it, or all that a glob fits."""
    try:
        stem, brackets = sliced(path)
        found = [(full, index[full]) for full in select(stem, index)]
    except ConfigError as problem:
        raise ConfigError(problem.message, where) from None
    if not found and brackets is None and last(stem).isdecimal() and parent(stem) in index:
        # One number of a list: potentials.angle.theta0.0.
        return [(stem, _part(index[parent(stem)], (int(last(stem)),)))]
    if not found and (quoted := meant(stem, index)) is not None:
        raise ConfigError(f"{path} names nothing: a key with a dot stands in quotes: {quoted}", where)
    if not found:
        near = difflib.get_close_matches(stem, index, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"{path} names nothing that can be learnt{hint}", where)
    if brackets is None:
        return found
    if len(found) > 1:
        raise ConfigError(f"{path}: a slice needs one array, and this names {len(found)}", where)
    try:
        chosen = parse_index(brackets)
    except ValueError as problem:
        raise ConfigError(f"{path}: {problem}; write start:stop", where) from problem
    full, places = found[0]
    return [(f"{full}[{brackets}]", _part(places, chosen))]


def _part(places: tuple[Place, ...], index: Index) -> tuple[Place, ...]:
    return tuple(dataclasses.replace(place, index=index) for place in places)


def selects(path: str, full: str) -> bool:
    """Whether a path of `parameters` (with globs, a slice, or a number of a list) takes anything of a value."""
    stem, _ = sliced(path)
    return bool(select(stem, [full])) or (last(stem).isdecimal() and parent(stem) == full)


def check_shapes(p: Mapping[str, np.ndarray], expected: Mapping[str, Array]) -> None:
    """Raises ConfigError unless every path of `p` is expected, in that shape; more may be expected."""
    unknown = sorted(set(p) - set(expected))
    if unknown:
        raise ConfigError(f"{', '.join(unknown)}: learned, but not among the config's `parameters`; list it there, too")
    for path, value in p.items():
        if np.shape(value) != np.shape(expected[path]):
            raise ConfigError(f"{path}: learned in shape {np.shape(value)}, here it is {np.shape(expected[path])}")
