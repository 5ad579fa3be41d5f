"""The straightness of a fibre: how far a row of centers lies on a line."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from diffmd.errors import ConfigError
from diffmd.observables.base import Frame, Observable, ObservableContext
from diffmd.observables.eigenvalues import largest_eigenvalue
from diffmd.observables.listed import chained, check_atoms
from diffmd.observables.molecules import check_whole
from diffmd.observables.superposition import covariance
from diffmd.observables.vectors import cosine, root, rounding, shortest_images
from diffmd.potentials.elementwise import safe_norm
from diffmd.potentials.term_lists import Chain
from diffmd.spec import OBSERVABLES, Spec, quantity


def _contour(steps: Float[Array, "steps 3"]) -> Float[Array, ""]:
    lengths = safe_norm(steps)
    contour = jnp.sum(lengths)
    end = root(jnp.sum(jnp.sum(steps, axis=0) ** 2), contour**2)
    return jnp.where(contour == 0, 0, end / jnp.where(contour == 0, 1, contour))


def _cosine(steps: Float[Array, "steps 3"]) -> Float[Array, ""]:
    return jnp.mean(cosine(steps[:-1], steps[1:]))


def _linear(steps: Float[Array, "steps 3"]) -> Float[Array, ""]:
    x = jnp.concatenate([jnp.zeros_like(steps[:1]), jnp.cumsum(steps, axis=0)])
    d = x - jnp.mean(x, axis=0)
    s = covariance(d, d, jnp.full(len(d), 1 / len(d)))
    trace = jnp.trace(s)
    nowhere = trace <= rounding(trace) ** 2 * jnp.mean(jnp.sum(x * x, axis=-1))
    largest = largest_eigenvalue(s, trace)
    return jnp.where(nowhere, 0, largest / jnp.where(nowhere, 1, trace))


_MEASURES: Mapping[str, Callable[[Array], Array]] = {"contour": _contour, "cosine": _cosine, "linear": _linear}


@dataclasses.dataclass(frozen=True, eq=False)
class Straightness(Observable):
    """Of centers c_1 ... c_n in a row, with steps b_k = c_{k+1} - c_k by the shortest image, one of

    - contour: |sum_k b_k| / sum_k |b_k|, end-to-end distance over contour length, from 0 to 1;
    - cosine: the mean over k of b_k . b_{k+1} / (|b_k| |b_{k+1}|), from -1 to 1; about 1 - l / p for steps l of a
      wormlike chain of persistence length p;
    - linear: l_3 / (l_1 + l_2 + l_3), of the eigenvalues of the gyration tensor of the centers, from 1/3 to 1: the part
      of their spread that lies on one line. It does not fall when a row is uneven or turns back on its line.

    Each is 1 of a straight row. Centers all at one place: 0, with derivative zero. Where the row closes on itself the
    contour measure has a cusp, and so has the linear one where the largest eigenvalues meet: their derivatives there
    are the mean of the slopes.

    Attributes:
        atoms: of each center, filled up with zeros.
        weights: of each of them in its center's mean, zero where filled up.
        measured: which of the three.

    Source: M. Rubinstein and R. H. Colby, Polymer Physics (2003), sections 2.2 and 2.3.2.
    """

    atoms: Int[np.ndarray, "centers atoms"]
    weights: Float[np.ndarray, "centers atoms"]
    measured: str

    def measure(self, frame: Frame) -> Float[Array, ""]:
        """The straightness, a pure number."""
        x = frame.positions
        weights = jnp.asarray(self.weights, x.dtype)[..., None]
        centers = jnp.sum(weights * x[self.atoms], axis=1)
        return _MEASURES[self.measured](shortest_images(frame.box, jnp.diff(centers, axis=0)))


@OBSERVABLES.register
class StraightnessSpec(Spec):
    """How straight a row of atoms, or of centers of molecules, is: 1 where it is a line."""

    kind: Literal["straightness"] = "straightness"
    centers: list[int] | list[list[int]] | Chain = quantity(
        doc="In their order along the fibre, counted from zero: atoms, [0, 4, 8]; or the atoms of each molecule, whose "
        "mean positions are taken, [[0, 1], [2, 3], [4, 5]]; or {chain: [first, last]}."
    )
    measure: Literal["contour", "cosine", "linear"] = quantity(
        "contour",
        doc="contour: end-to-end distance over contour length; cosine: mean cosine of successive steps; linear: part "
        "of the spread that lies on one line.",
    )

    def build(self, context: ObservableContext) -> Observable:
        """The observable.

        Raises:
            ConfigError: for fewer than three centers, which always lie on a line, a center without atoms, or an atom
                that is not there or is twice in a center.
        """
        if isinstance(self.centers, Chain):
            groups = [[int(atom)] for atom in chained(self.centers, context, "centers.chain")]
        else:
            groups = [[center] if isinstance(center, int) else center for center in self.centers]
        if len(groups) < 3:
            raise ConfigError("takes at least three centers: two always lie on a line", context.path("centers"))
        for number, group in enumerate(groups):
            if not group:
                raise ConfigError("the list is empty", context.path(f"centers.{number}"))
            check_atoms(group, context, f"centers.{number}")
        check_whole(context, [np.array(group) for group in groups], None, "start from whole molecules")
        size = max(len(group) for group in groups)
        atoms = np.array([group + [0] * (size - len(group)) for group in groups])
        weights = np.array([[1 / len(group)] * len(group) + [0.0] * (size - len(group)) for group in groups])
        return Straightness(atoms, weights, self.measure)
