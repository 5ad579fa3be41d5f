"""Paths: taken apart, followed, set."""

from __future__ import annotations

import pytest

from diffmd.config.paths import get, leaves, nearest, put
from diffmd.errors import ConfigError

DATA = {"potentials": {"lj": {"sigma": {"A": 1.0, "A-B": 2.0}}}, "loss": [{"target": 0.5}, {"target": 1.5}]}


def test_get_follows_keys_items_and_types() -> None:
    assert get(DATA, "loss.1.target") == 1.5
    assert get(DATA, "potentials.lj.sigma.A-B") == 2.0
    with pytest.raises(ConfigError, match="did you mean sigma"):
        get(DATA, "potentials.lj.sigm")
    with pytest.raises(ConfigError, match="names nothing"):
        get(DATA, "loss.2.target")


def test_put_copies_and_makes_what_lacks() -> None:
    changed = put(DATA, "loss.0.target", 3)
    assert changed["loss"] == [{"target": 3}, {"target": 1.5}]
    assert DATA["loss"][0] == {"target": 0.5}
    assert put(DATA, "train.optimizer.kind", "sgd")["train"] == {"optimizer": {"kind": "sgd"}}
    assert put({"a": None}, "a.b", 1) == {"a": {"b": 1}}
    assert put(DATA, "loss.2", {})["loss"][2] == {}


@pytest.mark.parametrize(
    ("path", "words"),
    [("loss.3.target", "its items are loss.0 to loss.1"), ("loss.0.target.x", "has no `x`"), ("loss[0:1]", "slice")],
)
def test_put_refuses(path: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        put(DATA, path, 1)


def test_leaves_are_values_and_arrays() -> None:
    assert dict(leaves({"a": {"b": [1.0, 2.0]}, "c": [{"d": 1}]})) == {"a.b": [1.0, 2.0], "c.0.d": 1}


def test_nearest() -> None:
    assert nearest("epsilom", ["sigma", "epsilon"]) == "epsilon"
    assert nearest("xyz", ["sigma", "epsilon"]) is None
