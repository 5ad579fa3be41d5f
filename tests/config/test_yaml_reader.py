"""YAML 1.2 by the letter, and every way a file can fail to be a config."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

from diffmd.config.yaml_reader import MAX_BYTES, read_file, read_text
from diffmd.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        ("-1.5e+3", -1500.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("+2", 2),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        ("NO", "NO"),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("2020-01-01", "2020-01-01"),
        ("0b11", "0b11"),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("-.inf", -math.inf),
        ("nan", "nan"),
        ("inf", "inf"),
        ("=", "="),
        ("'1e-3'", "1e-3"),
        ("110 deg", "110 deg"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    read = read_text(f"a: {text}", "f").data["a"]
    assert read == value
    assert type(read) is type(value)


def test_nan_is_read_and_left_to_the_schema() -> None:
    assert math.isnan(read_text("a: .nan", "f").data["a"])


def test_marks_hold_the_line_and_column_of_keys_and_items() -> None:
    marks = read_text("a:\n  b: [1, {c: 2}]\n  d: 3\n", "f").marks
    assert marks["a"] == (1, 1)
    assert marks["a.b"] == (2, 3)
    assert marks["a.b.0"] == (2, 7)
    assert marks["a.b.1.c"] == (2, 11)
    assert marks["a.d"] == (3, 3)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3", 3, "a: stands twice, on lines 1 and 3"),
        ("x:\n  a: 1\n  a: 2", 3, "x.a: stands twice"),
        ("a: {b: 1, b: 2}", 1, "a.b: stands twice"),
        ("x: {kind: y,\n dt: 0,0001}", 2, "x.dt: a decimal comma; write 0.0001"),
        ("sigma: {O: 0,3166 nm, H: 0,05}", 1, "sigma.O: a decimal comma; write 0.3166 nm"),
        ("{k: -3,4e5}", 1, "k: a decimal comma; write -3.4e5"),
        ("a: &x [*x]", 1, "alias holds itself"),
        ("a: !!python/object:os.system x", 1, "tag"),
        ("a: !mine 3", 1, "tag"),
        ("? [1]\n: 2", 1, "a key must be a word"),
        ("<<: {a: 1}", 1, "merge keys"),
        ("a:\n\tb: 1", 2, "a tab stands"),
        ("a: 1\nb: c: d", 2, "a second `:`"),
        ("a: 1\n---\nb: 2", 2, "a second document"),
        ("a: [1, 2", 1, "is not YAML"),
        ("a: *nothing", 1, "undefined alias"),
        ("a: 1\nb: \x07", 2, "unprintable"),
        ('a: "\\ud800"', 1, "cannot be read"),
        ("a: " + "1" * 5000, 1, "cannot be read as int"),
        ("[" * 100_000, 1, "deep"),
        ("a: [system.positions[0:10]]", 1, "must be quoted"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_with_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_text(text, "f.yaml")
    assert str(caught.value).startswith(f"f.yaml:{line}: ")
    assert words in str(caught.value)


def test_anchors_are_taken() -> None:
    assert read_text("a: &x {b: 1}\nc: *x", "f").data == {"a": {"b": 1}, "c": {"b": 1}}


def test_aliases_that_multiply_are_refused_soon() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    start = time.process_time()
    with pytest.raises(ConfigError, match="aliases expand"):
        read_text("\n".join(lines), "f")
    assert time.process_time() - start < 20


def test_files_that_are_no_configs(tmp_path: Path) -> None:
    binary = tmp_path / "b.yaml"
    binary.write_bytes(b"a: 1\nb: \xff\xfe\x00")
    empty = tmp_path / "e.yaml"
    empty.write_text("# nothing\n")
    listed = tmp_path / "l.yaml"
    listed.write_text("- 1\n- 2\n")
    huge = tmp_path / "h.yaml"
    huge.write_bytes(b"#" * (MAX_BYTES + 1))
    for path, words in (
        (binary, "b.yaml:2: is not UTF-8"),
        (empty, "is empty"),
        (listed, "a config is a mapping"),
        (huge, "larger than 4 MB"),
        (tmp_path, "is a folder"),
        (tmp_path / "missing.yaml", "no such file"),
        (tmp_path / "n\0ul", "cannot be read"),
    ):
        with pytest.raises(ConfigError) as caught:
            read_file(path)
        assert words in str(caught.value)


def test_a_byte_order_mark_is_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_file(path).data == {"a": 1}
