"""Updates that left all reason, and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest

from diffmd.commands.updates import Watched
from diffmd.training.schedules import ExponentialDecaySpec

RATE = "train.optimizer.learning_rate"


def watched(start, *, unit: str | None = None, rate=0.5) -> Watched:
    return Watched("potentials.lj.sigma", np.asarray(start), unit, rate, RATE)


@pytest.mark.parametrize(
    ("start", "before", "after", "said"),
    [
        (0.34, 0.34, 0.30, None),
        (
            0.34,
            0.34,
            -0.01,
            "sigma by 0.35, more than its value of 0.34; write " + RATE + ": 0.04, which",
        ),
        (0.34, 0.34, 34.34, RATE + ": 0.0005,"),
        # What went towards zero may cross it; what started there has no size.
        (0.34, 0.01, -0.02, None),
        (0.0, 0.0, 5.0, None),
        ([3.0, 4.0], [3.0, 4.0], [3.0, 5.0], None),
        (
            [3.0, 4.0],
            [3.0, 4.0],
            [33.0, 44.0],
            "by 50 in all, more than the 5 of its values; write " + RATE + ": 0.0",
        ),
        (0.34, 0.34, np.nan, None),
    ],
)
def test_an_update_larger_than_the_value(start, before, after, said):
    found = watched(start).too_far(np.asarray(before), np.asarray(after))
    assert found is None if said is None else said in found


def test_schedules_are_told_by_how_much_and_searches_nothing():
    schedule = ExponentialDecaySpec(init_value=0.1, transition_steps=1, decay_rate=0.5)
    by = watched(1.0, rate=schedule).too_far(np.asarray(1.0), np.asarray(5.0))
    assert by.endswith(f"write a {RATE} that is at least 40 times smaller")
    assert watched(1.0, rate=None).too_far(np.asarray(1.0), np.asarray(5.0)).endswith("its value of 1")


def test_an_angle_that_went_round_and_round():
    one = watched(1.9, unit="rad")
    assert one.no_angle(np.asarray(-3.2)) is None
    assert "is 1e+05 deg in size (1746 rad), where" in one.no_angle(np.asarray(-1746.0))
    told = watched(0.1, unit="rad").too_far(np.asarray(0.1), np.asarray(1.1))
    assert "by 57.3 deg, more than its value of 5.73 deg" in told
    assert watched(1.9).no_angle(np.asarray(1746.0)) is None
