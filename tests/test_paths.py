"""Paths: taken apart, put together, quoted, matched, and as HDF5 names them."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffmd.errors import ConfigError
from diffmd.paths import (
    Glob,
    Slice,
    assigned,
    below,
    child,
    group_name,
    join,
    last,
    matches,
    meant,
    parent,
    select,
    slashed,
    sliced,
    split,
    within,
)

KEYS = st.one_of(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=8),
    st.text("""AC.*:/'+"\\[]=-? 12""", min_size=1, max_size=6),
)
PATHS = st.lists(KEYS, min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("potentials.lj.sigma", ("potentials", "lj", "sigma")),
        ("loss.0.target", ("loss", "0", "target")),
        ("potentials.lj.sigma.A-B", ("potentials", "lj", "sigma", "A-B")),
        ("potentials.lj.sigma.1", ("potentials", "lj", "sigma", "1")),
        ("potentials.nn.weights.0/weight", ("potentials", "nn", "weights", "0/weight")),
        ('potentials.lj.sigma["C.2"]', ("potentials", "lj", "sigma", "C.2")),
        ('sigma["DNA-N*"]', ("sigma", "DNA-N*")),
        ('sigma["X-CT-CT-X:3"]', ("sigma", "X-CT-CT-X:3")),
        ('sigma["CALA/CB"]', ("sigma", "CALA/CB")),
        ("""sigma["O5'+"].x""", ("sigma", "O5'+", "x")),
        ("potentials.*.sigma", ("potentials", Glob("*"), "sigma")),
        ("system.positions[0:10]", ("system", "positions", Slice("[0:10]"))),
        ("system.positions[-3:]", ("system", "positions", Slice("[-3:]"))),
    ],
)
def test_paths_as_they_are_written(path: str, keys: tuple[str, ...]) -> None:
    assert split(path) == keys
    assert [type(key) for key in split(path)] == [type(key) for key in keys]
    assert join(keys) == path


@pytest.mark.parametrize(
    ("path", "same"),
    [
        ("system.positions[3]", "system.positions.3"),
        ("loss[0].target", "loss.0.target"),
        ("system.positions[ 0 : 3, 2 ]", "system.positions[0:3,2]"),
        ("sigma['C.2']", 'sigma["C.2"]'),
        ("sigma.CALA/CB", 'sigma["CALA/CB"]'),
        ("sigma.O5'+", """sigma["O5'+"]"""),
        ('sigma["A"]', "sigma.A"),
    ],
)
def test_other_ways_to_write_a_path(path: str, same: str) -> None:
    assert join(split(path)) == same


@pytest.mark.parametrize(
    "path",
    ["", "a..b", ".a", "a.", "a[", "a]b", "a[x:y]", "[0]", 'a["C.2]', 'a[""]', "a[C.2]", 'a["\\x"]', "a[0:1].b", 'a"b'],
)
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(ConfigError, match="is not a path such as") as caught:
        split(path)
    assert f"'{path}' is not" in str(caught.value)


@given(PATHS)
def test_any_keys_are_joined_and_split_again(keys: list[str]) -> None:
    path = join(keys)
    assert split(path) == tuple(keys)
    assert all(type(key) is str for key in split(path))
    assert child(parent(path), last(path)) == path
    assert sliced(path) == (path, None)
    assert assigned(f"{path}=1=2") == (path, "1=2")


@given(PATHS, PATHS)
def test_what_lies_below(above: list[str], rest: list[str]) -> None:
    path = join([*above, *rest])
    assert within(path, join(above))
    assert below(path, join(above)) == join(rest)
    assert below(join(above), join(above)) is None
    assert not within(join([*above[:-1], f"{above[-1]}x"]), join(above))


@given(st.lists(KEYS, min_size=2, max_size=2, unique=True))
def test_a_quoted_key_is_itself_alone(keys: list[str]) -> None:
    here, other = (join(("sigma", key)) for key in keys)
    assert select(here, [other, here]) == [here]


@given(KEYS)
def test_a_group_name_is_undone_by_percent_decoding(key: str) -> None:
    name = group_name(key)
    assert "/" not in name
    assert name != "."
    assert unquote(name) == key


def test_an_exact_key_is_tried_before_a_glob() -> None:
    paths = ["sigma.NA", 'sigma["N*"]', "sigma.N"]
    assert select("sigma.N*", paths) == ['sigma["N*"]']
    assert select("sigma.N*", ["sigma.NA", "sigma.N", "sigma.C"]) == ["sigma.NA", "sigma.N"]
    assert select('sigma["N*"]', ["sigma.NA"]) == []
    assert select("*.N?", ["sigma.NA", "sigma.N"]) == ["sigma.NA"]


def test_a_glob_stands_for_one_key_and_a_path_for_all_below_it() -> None:
    assert matches("potentials.*.sigma", "potentials.lj.sigma.A")
    assert matches("potentials.lj", "potentials.lj.sigma")
    assert not matches("potentials.*.epsilon", "potentials.lj.sigma")
    assert not matches("potentials.lj.sig", "potentials.lj.sigma")
    assert not matches("potentials.*", "potentials")


def test_brackets_at_the_end() -> None:
    assert sliced("system.positions[0:3, 2]") == ("system.positions", "0:3,2")
    assert sliced("theta0[3]") == ("theta0", "3")
    assert sliced('sigma["C[1]"]') == ('sigma["C[1]"]', None)


def test_the_quotes_that_were_meant() -> None:
    assert meant("sigma.C.2", ["sigma.C", 'sigma["C.2"]']) == 'sigma["C.2"]'
    assert meant("sigma.C.3", ['sigma["C.2"]']) is None


@pytest.mark.parametrize("text", ["=3", "a", 'a["b=c"]', ""])
def test_what_is_no_assignment(text: str) -> None:
    assert assigned(text) is None


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("potentials.lj.sigma.C", "potentials/lj/sigma/C"),
        ('potentials.lj.sigma["C.2"]', "potentials/lj/sigma/C.2"),
        ('potentials.lj.sigma["CALA/CB"]', "potentials/lj/sigma/CALA%2FCB"),
        ('potentials.lj.sigma["50%"]', "potentials/lj/sigma/50%25"),
        ('sigma["."]', "sigma/%2E"),
        ("potentials.nn.weights.0/weight", "potentials/nn/weights/0/weight"),
        ("potentials.lj.sigma.0/weight", "potentials/lj/sigma/0%2Fweight"),
        ("system.positions[0:3]", "system/positions[0:3]"),
    ],
)
def test_hdf5_names(path: str, name: str) -> None:
    assert slashed(path) == name
