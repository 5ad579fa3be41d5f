"""Slices and ties whose shapes do not fit."""

from __future__ import annotations

import pytest

from diffmd.errors import ConfigError
from diffmd.parameters import Parameters, Request

SHAPES = {
    "system.positions": (4, 3),
    "potentials.lj.sigma": (),
    "potentials.coarse.sigma.A": (),
    "potentials.angle.theta0": (2,),
}
ONE = {"default": {key: key for key in SHAPES}}


@pytest.mark.parametrize(
    ("requests", "words"),
    [
        ([Request("system.positions[0:2]"), Request("system.positions[1:3]")], "another entry"),
        ([Request("potentials.lj.sigma", ("potentials.angle.theta0",))], "cannot be tied"),
        ([Request("system.positions[4]")], "selects nothing"),
        ([Request("system.positions[4:]")], "selects nothing"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(requests: list[Request], words: str):
    parameters = Parameters.create(requests, ONE)
    with pytest.raises(ConfigError, match=words):
        parameters.check({"default": SHAPES})


def test_slices_beside_each_other_and_ties_of_one_shape_pass():
    requests = [
        Request("system.positions[0:2]"),
        Request("system.positions[2:4, 0]"),
        Request("potentials.lj.sigma", ("potentials.coarse.sigma.A", "potentials.angle.theta0.1")),
    ]
    parameters = Parameters.create(requests, ONE)
    parameters.check({"default": SHAPES})
    assert [len(leaf.places) for leaf in parameters.leaves] == [1, 1, 3]
