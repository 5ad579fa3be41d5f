"""Which numbers a path names, where they go, and what is refused."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from diffmd.errors import ConfigError
from diffmd.parameters import Parameters, Selection, check_shapes, parse_index

VALUES = {
    "system.positions": jnp.arange(12.0).reshape(4, 3),
    "potentials.lj.sigma": jnp.asarray(0.5),
    "potentials.lj.epsilon": jnp.asarray(1.0),
    "potentials.coarse.sigma.A": jnp.asarray(0.7),
    "potentials.coarse.sigma.A-B": jnp.asarray(0.8),
    "potentials.angle.theta0": jnp.asarray([1.0, 2.0]),
}
ONE = {"default": {key: key for key in VALUES}}


def leaves(*selections: Request) -> list[str]:
    return [leaf.path for leaf in Parameters.create(selections, ONE).leaves]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("potentials.lj.sigma", ["potentials.lj.sigma"]),
        ("potentials.lj", ["potentials.lj.sigma", "potentials.lj.epsilon"]),
        ("potentials.*.sigma", ["potentials.lj.sigma", "potentials.coarse.sigma.A", "potentials.coarse.sigma.A-B"]),
        ("potentials.coarse.sigma.A", ["potentials.coarse.sigma.A"]),
        ("potentials.angle.theta0.1", ["potentials.angle.theta0.1"]),
        ("system.positions[0:2]", ["system.positions[0:2]"]),
        ("system.positions[ 1, 2 ]", ["system.positions[1,2]"]),
    ],
)
def test_a_path_names_its_leaves(path: str, found: list[str]):
    assert leaves(Selection(path)) == found


@pytest.mark.parametrize(
    ("selections", "sentence"),
    [
        ([Selection("potentials.lj.sigm")], "names nothing that can be learnt; did you mean potentials.lj.sigma"),
        ([Selection("potentials.lj.sigma"), Selection("potentials.lj")], "named twice"),
        ([Selection("potentials.lj.sigma", tie=("potentials.lj.sigma",))], "named twice"),
        ([Selection("potentials.lj[0:1]")], "a slice needs one array, and this names 2"),
        ([Selection("system.positions[1:2:3:4]")], "write start:stop"),
        ([Selection("system.positions[0:1")], "is not a path"),
        ([Selection("potentials.lj", tie=("potentials.angle.theta0",))], "has 2 values, what is tied to it 1"),
        ([Selection("system.positions[0:1]"), Selection("system.positions")], "named twice"),
    ],
)
def test_what_names_nothing_or_twice_is_refused(selections: list[Selection], sentence: str):
    with pytest.raises(ConfigError, match=sentence.replace(".", r"\.").replace("[", r"\[")):
        Parameters.create(selections, ONE)


def test_parts_are_taken_out_and_put_back():
    parameters = Parameters.create(
        [Selection("system.positions[1:3]"), Selection("potentials.angle.theta0.1"), Selection("potentials.lj.sigma")],
        ONE,
    )
    p = parameters.initial({"default": VALUES})
    assert np.shape(p["system.positions[1:3]"]) == (2, 3)
    assert float(p["potentials.angle.theta0.1"]) == 2.0
    assert parameters.bind("default", p, VALUES).keys() == VALUES.keys()
    moved = {
        **p,
        "system.positions[1:3]": p["system.positions[1:3]"] + 1,
        "potentials.angle.theta0.1": jnp.asarray(5.0),
    }
    bound = parameters.bind("default", moved, VALUES)
    np.testing.assert_array_equal(
        bound["system.positions"] - VALUES["system.positions"], [[0] * 3, [1] * 3, [1] * 3, [0] * 3]
    )
    np.testing.assert_array_equal(bound["potentials.angle.theta0"], [1.0, 5.0])
    assert parameters.touches("default", "system.positions")
    assert not parameters.touches("default", "potentials.lj.epsilon")


def test_a_tied_number_follows_its_owner():
    tied = ("potentials.coarse.sigma.A", "potentials.coarse.sigma.A-B")
    parameters = Parameters.create([Selection("potentials.lj.sigma", tie=tied)], ONE)
    bound = parameters.bind("default", {"potentials.lj.sigma": jnp.asarray(0.3)}, VALUES)
    assert {float(bound[key]) for key in VALUES if "sigma" in key} == {np.float32(0.3).item()}


def test_systems_share_what_has_one_path():
    names = {
        name: {"system.positions": f"systems.{name}.system.positions", "potentials.lj.sigma": "potentials.lj.sigma"}
        for name in ("one", "two")
    }
    parameters = Parameters.create([Selection("potentials.lj.sigma"), Selection("systems.*.system.positions")], names)
    shared, *own = parameters.leaves
    assert [place.system for place in shared.places] == ["one", "two"]
    assert [leaf.path for leaf in own] == ["systems.one.system.positions", "systems.two.system.positions"]
    p = {leaf.path: jnp.full(3, float(k)) for k, leaf in enumerate(parameters.leaves)}
    values = {"system.positions": jnp.zeros(3), "potentials.lj.sigma": jnp.zeros(3)}
    assert float(parameters.bind("two", p, values)["system.positions"][0]) == 2.0


def test_indices():
    assert parse_index("0:10, 2") == (slice(0, 10), 2)
    assert parse_index("-1") == (-1,)
    assert parse_index("::2") == (slice(None, None, 2),)
    for wrong in ("", "1:2:3:4", "x"):
        with pytest.raises(ValueError):  # noqa: PT011 - the caller says more
            parse_index(wrong)


def test_learned_values_fit_what_they_are_for():
    expected = {"a": jnp.zeros(2), "b": jnp.zeros(())}
    check_shapes({"a": np.zeros(2)}, expected)
    with pytest.raises(ConfigError, match=r"c: learned, but not among the config's `parameters`"):
        check_shapes({"a": np.zeros(2), "c": np.zeros(())}, expected)
    with pytest.raises(ConfigError, match=r"a: learned in shape \(3,\), here it is \(2,\)"):
        check_shapes({"a": np.zeros(3)}, expected)
