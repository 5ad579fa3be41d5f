"""What a sampled ensemble is worth: its independent frames, whether it has forgotten its start, and the sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from diffmd.adjoints.reweight.statistics import halves_apart, independent, mean_error

_DRIFT = 3.0
"""Errors that the halves of a run may be apart by chance."""
_ENOUGH = 20
"""Independent frames below which an error bar is itself uncertain."""
LEAST = 8
"""Points of a series of which an error bar is made at all."""
STRETCHES = 10
"""Of the run, whose own gradients are shown."""
_WHOLE = 0.995
_TINY = 1e-300


@dataclasses.dataclass(frozen=True)
class Sampling:
    """What one system's ensemble is worth.

    Attributes:
        effective, frames: of the term whose weights are the most uneven.
        independent: how many frames that are independent of each other would say as much: the fewest of the energy's,
            the observables' and their products' with the derivatives of the energy.
        apart: by how many of its errors each of the energy and the terms differs from one half of the frames to the
            other.
        still: where molecules have not left their places, a sentence.
    """

    effective: float
    frames: int
    independent: float
    apart: Mapping[str, float]
    still: str | None

    @property
    def worth(self) -> float:
        """By which the worst of several systems is found: what is left of the frames, and how many are independent."""
        return self.independent * self.effective / self.frames

    def sentence(self, gradients: Mapping[str, np.ndarray], errors: Mapping[str, np.ndarray] | None) -> str:
        """What to think of a gradient, and what to do."""
        count = f"The {self.frames} frames are worth {self.independent:.3g} that are independent of each other"
        if self.effective < _WHOLE * self.frames:
            count += f"; at these parameters the weights leave {self.effective:.4g} of them"
        if errors is None:
            return f"{count}: too few to tell the noise; write more steps, or more frames (frames: {{every: ...}})."
        return ". ".join([count, *self.doubts, _noise(gradients, errors)]) + "."

    @property
    def doubts(self) -> tuple[str, ...]:
        """Sentences on why the ensemble may not be the one that is meant."""
        found = []
        drift = max(self.apart, key=lambda name: self.apart[name])
        if self.apart[drift] > _DRIFT:
            found.append(
                f"The run has not forgotten its start: {drift} of the first half of the frames and of the second are "
                f"{self.apart[drift]:.1f} of their errors apart, and chance leaves them within {_DRIFT:g}; leave the "
                "first frames out (frames: {from: ...}), equilibrate, or write more steps"
            )
        if self.independent < _ENOUGH:
            found.append(f"With fewer than {_ENOUGH} the error itself is uncertain: write more steps")
        if self.still is not None:
            found.append(self.still[0].upper() + self.still[1:])
        return tuple(found)


def _noise(gradients: Mapping[str, np.ndarray], errors: Mapping[str, np.ndarray]) -> str:
    # Parameters have units of their own: the one whose noise is the largest part of it speaks for them.
    noise = {path: float(np.linalg.norm(value)) for path, value in errors.items()}
    size = {path: float(np.linalg.norm(value)) for path, value in gradients.items()}
    noisy = max(noise, key=lambda path: noise[path] / max(size[path], _TINY))
    if noise[noisy] > size[noisy]:
        return (
            f"The gradient with respect to {noisy} ({size[noisy]:.2g}) is smaller than its noise "
            f"({noise[noisy]:.2g}): write more steps, or take it that the loss is flat there"
        )
    share = noise[noisy] / max(size[noisy], _TINY)
    return f"The noise is at most {share:.2g} of a parameter's gradient ({noisy})"


def judged(
    effective: float,
    frames: int,
    series: Mapping[str, Float[np.ndarray, "points"]],
    influences: Mapping[str, Float[np.ndarray, "points *shape"]],
    still: str | None,
) -> Sampling:
    """The worth of an ensemble.

    Args:
        series: influences on the means of the energy and the terms, in the order of time.
        influences: those on the gradient.
    """
    points = len(next(iter(series.values())))
    counts = [float(independent(one)) for one in series.values()]
    counts += [float(np.median(independent(one))) for one in influences.values()]
    return Sampling(
        effective,
        frames,
        min(frames, min(counts) * frames / points),
        {name: halves_apart(one) for name, one in series.items()},
        still,
    )


def error(influences: Float[np.ndarray, "points *shape"]) -> Float[np.ndarray, "*shape"] | None:
    """Standard error of what influences add up to; None where they are too few to tell."""
    points = len(influences)
    return None if points < LEAST else np.asarray(points * mean_error(influences))


def by_stretch(
    gradients: Mapping[str, np.ndarray], influences: Mapping[str, Float[np.ndarray, "points *shape"]]
) -> Float[np.ndarray, "stretches"]:
    """How large the gradient of each stretch of time is, as a part of the whole: the root of the mean square over
    parameters."""
    ratios = []
    for path, whole in gradients.items():
        parts = np.array_split(influences[path], min(STRETCHES, len(influences[path])))
        points = len(influences[path])
        each = np.stack([whole + points * part.mean(axis=0) for part in parts])
        square = np.sum(np.square(each).reshape(len(each), -1), axis=1)
        ratios.append(square / max(float(np.sum(np.square(whole))), _TINY))
    return np.sqrt(np.mean(ratios, axis=0))
