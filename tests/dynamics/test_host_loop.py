"""How the host adapts lists to what segments report. No trajectory is run."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from diffmd.dynamics.run.host_loop import BlownUpError, ListControl, NonFiniteError, run_segments
from diffmd.dynamics.run.schedule import Segment
from diffmd.dynamics.run.shape import Report, Shape
from diffmd.errors import NumericalError
from diffmd.neighbors import NeighborPlan

PLAN = NeighborPlan("cell_list", 100, 1.0, 0.4, 16, (3, 3, 3), 8)
SEGMENT = Segment(40, 20, 0, ())
BUILDS = 3


def report(moved: float = 0.0, row: int = 10, cell: int = 5, finite: bool = True, furthest: float = 0.0) -> Report:
    needed = jnp.asarray([row, cell, 0, 0, 0], np.int32)
    return Report(jnp.asarray(moved**2), jnp.asarray(furthest**2), needed, jnp.asarray(finite), jnp.asarray(BUILDS))


def marched(control: ListControl, reports: list[Report], *, in_blocks: bool = True) -> tuple[list[Shape], list[str]]:
    """The shapes that were run and what was said, one segment after another until the reports are used up."""
    shapes, said, left = [], [], iter(reports)

    def advance(shape, state):
        shapes.append(shape)
        return state + shape.steps, (), next(left), None

    segments = iter(lambda: SEGMENT if len(shapes) < len(reports) else None, None)
    far = lambda far: far > 1  # noqa: E731
    run_segments("default", 0, segments, control, far, advance, lambda *_: None, said.append, in_blocks=in_blocks)
    return shapes, said


def test_round_trip_through_json():
    control = ListControl(PLAN, 12, True)
    assert ListControl.from_json(control.to_json()) == control
    assert ListControl.from_json(control.to_json()).in_blocks(SEGMENT) == Shape(20, 0, 12, (), PLAN)


def test_lists_are_built_on_demand_but_in_reverse_mode_or_where_the_config_fixed_it():
    free, fixed = ListControl(PLAN, 12), ListControl(PLAN, 12, True)
    assert (free.shape(SEGMENT).block, free.in_blocks(SEGMENT).block) == (0, 12)
    assert (fixed.shape(SEGMENT).block, fixed.in_blocks(SEGMENT).block) == (12, 12)
    for in_blocks, block in ((False, 0), (True, 12)):
        shapes, _ = marched(ListControl(PLAN, 12), [report(0.1)], in_blocks=in_blocks)
        assert [shape.block for shape in shapes] == [block]


def test_on_demand_only_room_can_be_wanting():
    control = ListControl(PLAN, 5)
    shapes, said = marched(control, [report(0.19, row=40), report(0.001), report(0.19)], in_blocks=False)
    assert len(said) == 1
    assert "grown" in said[0]
    # Slow atoms teach nothing: the next list lasts as long as it can in any case.
    assert [shape.block for shape in shapes] == [0, 0, 0]
    assert control.block == 5
    with pytest.raises(NumericalError, match=r"0\.3 in one step, over half the skin"):
        marched(control, [report(0.3)], in_blocks=False)


def test_a_list_that_was_outrun_is_rebuilt_more_often():
    control = ListControl(PLAN, 50)
    shapes, said = marched(control, [report(0.9), report(0.19)])
    # 0.2 is allowed: 50 * 0.2 / 0.9 = 11, less a tenth.
    assert [shape.block for shape in shapes] == [50, 10]
    assert said == ["steps 40 to 60 run again: neighbour lists rebuilt every 10 steps"]


def test_lists_are_counted_those_of_steps_that_are_run_again_too():
    control = ListControl(PLAN, 50)
    marched(control, [report(0.9), report(0.19), report(0.1)])
    assert control.built == 3 * BUILDS
    assert ListControl.from_json(control.to_json()).built == 0


def test_each_try_is_shorter_than_the_last():
    shapes, _ = marched(ListControl(PLAN, 5), [report(0.201), report(0.201), report(0.201), report(0.201), report(0.1)])
    assert [shape.block for shape in shapes] == [5, 4, 3, 2, 1]


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
    # 0.2 is allowed: 5 * 0.2 / 0.049 = 20.4, less a fifth; twice as many as now are worth another program, no fewer.
    shapes, _ = marched(ListControl(PLAN, 5), [report(0.049), report(0.1), report(0.1)])
    assert [shape.block for shape in shapes] == [5, 16, 16]
    shapes, _ = marched(ListControl(PLAN, 5), [report(0.09), report(0.09)])
    assert [shape.block for shape in shapes] == [5, 5]


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
