"""How the host adapts lists to what segments report. No trajectory is run."""

from __future__ import annotations

import dataclasses
import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from diffmd.dynamics.march import BLOCKS, BlownUpError, ListControl, NonFiniteError, first_block, march
from diffmd.dynamics.schedule import Segment
from diffmd.dynamics.segment import Report, Shape
from diffmd.errors import NumericalError
from diffmd.neighbors import NeighborPlan

PLAN = NeighborPlan("cell_list", 100, 1.0, 0.4, 16, (3, 3, 3), 8)
SEGMENT = Segment(40, 20, 0, ())
BUILDS = 3


def report(moved: float = 0.0, row: int = 10, cell: int = 5, finite: bool = True, furthest: float = 0.0) -> Report:
    needed = jnp.asarray([row, cell, 0, 0, 0], np.int32)
    return Report(jnp.asarray(moved**2), jnp.asarray(furthest**2), needed, jnp.asarray(finite), jnp.asarray(BUILDS))


def marched(control: ListControl, reports: list[Report]) -> tuple[list[Shape], list[str]]:
    """The shapes that were run and what was said, one segment after another until the reports are used up."""
    shapes, said, left = [], [], iter(reports)

    def advance(shape, state):
        shapes.append(shape)
        return state + shape.steps, (), next(left), None

    segments = iter(lambda: SEGMENT if len(shapes) < len(reports) else None, None)
    march("default", 0, segments, control, lambda far: far > 1, advance, lambda *_: None, said.append)
    return shapes, said


def test_round_trip_through_json():
    control = ListControl(PLAN, 12, True)
    assert ListControl.from_json(control.to_json()) == control
    assert ListControl.from_json(control.to_json()).shape(SEGMENT) == Shape(20, 0, 12, (), PLAN)


def test_a_list_that_was_outrun_is_rebuilt_more_often():
    control = ListControl(PLAN, 50)
    shapes, said = marched(control, [report(0.9), report(0.19)])
    # 0.2 is allowed: 50 * 0.2 / 0.9 = 11.
    assert [shape.block for shape in shapes] == [50, 8]
    assert said == ["steps 40 to 60 run again: neighbour lists rebuilt every 8 steps"]


def test_lists_are_counted_those_of_steps_that_are_run_again_too():
    control = ListControl(PLAN, 50)
    marched(control, [report(0.9), report(0.19), report(0.1)])
    assert control.built == 3 * BUILDS
    assert ListControl.from_json(control.to_json()).built == 0


def test_each_try_is_shorter_than_the_last():
    shapes, _ = marched(ListControl(PLAN, 5), [report(0.201), report(0.201), report(0.201), report(0.1)])
    assert [shape.block for shape in shapes] == [5, 3, 2, 1]


def test_capacity_grows():
    control = ListControl(PLAN, 5)
    shapes, said = marched(control, [report(row=40), report(row=40)])
    assert shapes[1].plan.capacity >= 40
    assert shapes[1].block == 5
    assert "grown" in said[0]
    assert not control.plan.overflowed(np.array([40, 5, 0, 0, 0]))


def test_slow_atoms_get_longer_blocks_unless_the_config_fixed_them():
    for fixed, later in ((False, 100), (True, 5)):
        shapes, said = marched(ListControl(PLAN, 5, fixed), [report(0.001), report(0.001)])
        assert [shape.block for shape in shapes] == [5, later]
        assert not said


def test_blocks_relax_to_what_keeps_the_bound():
    shapes, _ = marched(ListControl(PLAN, 5), [report(0.05), report(0.1)])
    assert [shape.block for shape in shapes] == [5, 12]


def test_nothing_left_to_mend_is_an_error():
    with pytest.raises(NumericalError, match=r"0\.3 in one step, over half the skin"):
        marched(ListControl(PLAN, 1), [report(0.3)])
    full = dataclasses.replace(PLAN, capacity=100, cell_capacity=100)
    with pytest.raises(NumericalError, match="cannot grow"):
        marched(ListControl(full, 1), [report(row=200)])


@pytest.mark.parametrize("block", [1, 8])
def test_a_missed_pair_is_mended_before_nan_is_believed(block):
    # Beyond a list that was too small or too old, anything may have happened.
    shapes, said = marched(ListControl(PLAN, block), [report(np.nan, row=40, finite=False), report(0.1)])
    assert len(shapes) == 2
    assert "grown" in said[0]


def test_nan_on_a_good_list_is_an_error_with_the_segment():
    with pytest.raises(NonFiniteError, match="between steps 40 and 60") as caught:
        marched(ListControl(PLAN, 8), [report(np.nan, finite=False)] * 5)
    assert caught.value.segment == SEGMENT
    everything = NeighborPlan("all_pairs", 100, 0.0, 0.0, 100)
    with pytest.raises(NonFiniteError):
        marched(ListControl(everything, 1), [report(finite=False)])


def test_an_atom_that_went_too_far_ends_the_run():
    everything = NeighborPlan("all_pairs", 100, 0.0, 0.0, 100)
    with pytest.raises(BlownUpError, match=r"an atom went 1.5 in one step between steps 40 and 60") as caught:
        marched(ListControl(everything, 1), [report(), report(furthest=1.5)])
    assert caught.value.segment == SEGMENT
    # On lists it is not said that the skin was too small for it.
    with pytest.raises(BlownUpError):
        marched(ListControl(PLAN, 1), [report(1.5, furthest=1.5)])


def test_an_atom_is_believed_to_have_gone_too_far_on_a_good_list_only():
    shapes, said = marched(ListControl(PLAN, 8), [report(0.9, furthest=1.5), report(0.1, furthest=0.1)])
    assert [shape.block for shape in shapes] == [8, 1]
    assert "rebuilt" in said[0]


def test_first_block():
    assert first_block(7, 0.2, 1e9, 1.0) == 7
    assert first_block(None, 0.2, 0.0, 0.01) == 20
    assert first_block(None, 0.4, 2.0, 0.01) == 8
    assert first_block(None, 0.4, 1e9, 0.01) == 1
    assert all(a < b for a, b in itertools.pairwise(BLOCKS))
