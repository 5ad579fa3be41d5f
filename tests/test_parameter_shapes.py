"""Slices and ties whose shapes do not fit."""

from __future__ import annotations

import pytest

from diffmd.errors import ConfigError
from diffmd.parameters import Parameters, Selection

SHAPES = {
    "system.positions": (4, 3),
    "potentials.lj.sigma": (),
    "potentials.coarse.sigma.A": (),
    "potentials.angle.theta0": (2,),
}
ONE = {"default": {key: key for key in SHAPES}}


@pytest.mark.parametrize(
    ("selections", "words"),
    [
        ([Selection("system.positions[0:2]"), Selection("system.positions[1:3]")], "another entry"),
        ([Selection("potentials.lj.sigma", ("potentials.angle.theta0",))], "cannot be tied"),
        ([Selection("system.positions[4]")], "selects nothing"),
        ([Selection("system.positions[4:]")], "selects nothing"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(selections: list[Selection], words: str):
    parameters = Parameters.create(selections, ONE)
    with pytest.raises(ConfigError, match=words):
        parameters.check({"default": SHAPES})


def test_slices_beside_each_other_and_ties_of_one_shape_pass():
    selections = [
        Selection("system.positions[0:2]"),
        Selection("system.positions[2:4, 0]"),
        Selection("potentials.lj.sigma", ("potentials.coarse.sigma.A", "potentials.angle.theta0.1")),
    ]
    parameters = Parameters.create(selections, ONE)
    parameters.check({"default": SHAPES})
    assert [len(leaf.places) for leaf in parameters.leaves] == [1, 1, 3]
