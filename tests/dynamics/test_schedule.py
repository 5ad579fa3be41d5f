"""Legs and segments measure every wanted frame and take every step once, whatever the schedules."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from diffmd.dynamics.run.schedule import Leg, legs, segments, usual_length, wanted_rows
from diffmd.simulation import recording


@st.composite
def schedules(draw):
    steps = draw(st.integers(0, 80))
    frames = []
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            frames.append(np.arange(draw(st.integers(0, max(steps, 1))), steps + 1, draw(st.integers(1, 20))))
        else:
            frames.append(np.array(sorted(draw(st.sets(st.integers(0, steps), max_size=15))), int))
    return steps, frames, draw(st.integers(1, 40)), draw(st.integers(0, 1000))


@settings(max_examples=300, deadline=None)
@given(schedules())
def test_every_wanted_frame_is_measured_and_every_step_taken_once(schedule):
    steps, frames, longest, start = schedule
    plan = legs(steps, frames)
    assert sum(leg.steps for leg in plan) == steps
    assert len(plan) <= 9
    cut = segments(plan, longest, start)
    done = start
    taken = [[] for _ in frames]
    for segment in cut:
        assert segment.start == done
        assert 0 < segment.steps <= longest
        assert not segment.stride or segment.steps % segment.stride == 0
        assert bool(segment.active) == bool(segment.stride)
        done += segment.steps
        for k in segment.active:
            taken[k] += [step - start for step in segment.frames]
    assert done == start + steps
    for own, wanted in zip(taken, frames, strict=True):
        wanted = wanted[wanted > 0]
        assert own == sorted(set(own))
        assert set(wanted) <= set(own)
        np.testing.assert_array_equal(np.asarray(own)[wanted_rows(own, wanted)] if len(wanted) else [], wanted)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 100), st.integers(1, 30), st.integers(1, 40), st.integers(0, 60))
def test_recording_counts_frames_from_step_0_wherever_it_starts(steps, every, longest, start):
    start = min(start, steps)
    measured = list(itertools.chain(*(segment.frames for segment in recording(steps, every, longest, start))))
    assert measured == [step for step in range(start + 1, steps + 1) if step % every == 0]


def test_a_regular_schedule_is_one_leg_of_few_lengths():
    assert legs(500, [np.arange(0, 501, 10)]) == [Leg(500, 10, (0,))]
    assert {s.steps for s in segments(legs(505, [np.arange(0, 501, 10)]), 120)} == {120, 20, 5}


def test_a_longer_run_has_the_same_boundaries():
    short, long = (segments([Leg(n, 0, ())], 70) for n in (300, 1000))
    assert long[: len(short) - 1] == short[:-1]


def test_schedules_that_do_not_fit_together_are_measured_at_their_common_stride():
    plan = legs(60, [np.arange(0, 61, 4), np.arange(0, 61, 6)])
    assert plan == [Leg(60, 2, (0, 1))]


def test_the_host_looks_up_often_but_not_always():
    assert usual_length(1) == 1000
    assert usual_length(10**12) == 10
