"""validate, schema and init, called from Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from diffmd.commands.config.init import init
from diffmd.commands.config.schema import json_schema, schema
from diffmd.commands.config.validate import validate
from diffmd.config.examples import example_names, example_text
from diffmd.config.loading import load
from diffmd.config.yaml_reader import read_file, read_text
from diffmd.errors import ConfigError, OutputError

CONFIGS = Path(__file__).parents[2] / "configs"
EXAMPLES = tuple(sorted(path.stem for path in CONFIGS.glob("*.yaml")))


def test_the_examples_are_those_of_the_repository() -> None:
    assert example_names() == EXAMPLES
    assert {"lj_fluid", "bond_angle", "nn_logo", "lj_liquid"} <= set(EXAMPLES)
    assert example_text("lj_fluid") == (CONFIGS / "lj_fluid.yaml").read_text()


@pytest.mark.parametrize("name", EXAMPLES)
def test_validate_gives_a_runnable_config(name: str) -> None:
    result = validate(CONFIGS / f"{name}.yaml")
    assert result.warnings == ()
    assert read_text(result.text, "f").data == load(CONFIGS / f"{name}.yaml").data


def test_validate_warns_of_a_bare_cutoff() -> None:
    result = validate(CONFIGS / "lj_fluid.yaml", ("potentials.lj.cutoff=1.5",))
    assert len(result.warnings) == 1
    assert "shifted_force" in result.warnings[0]
    assert "truncated" in result.text


def test_init_writes_once(tmp_path: Path) -> None:
    file = init(tmp_path)
    assert file == tmp_path / "lj_fluid.yaml"
    load(file)
    with pytest.raises(ConfigError, match="--overwrite"):
        init(tmp_path)
    file.write_text("changed")
    assert init(file, "bond_angle", overwrite=True) == file
    assert file.read_text() == example_text("bond_angle")
    assert init(tmp_path / "new" / "c.yaml", "nn_logo").exists()
    assert init(f"{tmp_path}/folder/") == tmp_path / "folder" / "lj_fluid.yaml"


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_comes_with_its_inputs(tmp_path: Path, name: str) -> None:
    loaded = load(init(tmp_path / "new" / "mine.yaml", name))
    assert loaded.config == load(CONFIGS / f"{name}.yaml").config


def test_init_leaves_other_inputs_alone(tmp_path: Path) -> None:
    init(tmp_path, "argon_rdf")
    curve = tmp_path / "data" / "argon_rdf.csv"
    assert curve.read_bytes() == (CONFIGS / "data" / "argon_rdf.csv").read_bytes()
    assert init(tmp_path / "again.yaml", "argon_rdf").exists()
    curve.write_text("r,g\n0,1\n1,1\n")
    with pytest.raises(ConfigError, match="not this example's"):
        init(tmp_path / "third.yaml", "argon_rdf")
    assert not (tmp_path / "third.yaml").exists()
    init(tmp_path / "third.yaml", "argon_rdf", overwrite=True)
    assert curve.read_bytes() == (CONFIGS / "data" / "argon_rdf.csv").read_bytes()


def test_init_refuses(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean lj_fluid"):
        init(tmp_path, "lj_fluit")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        init(tmp_path / "file" / "c.yaml")


def test_the_json_schema_takes_the_examples_and_refuses_unknown_keys() -> None:
    described = json.loads(schema())
    jsonschema.Draft202012Validator.check_schema(described)
    validator = jsonschema.Draft202012Validator(described)
    for name in EXAMPLES:
        data = read_file(CONFIGS / f"{name}.yaml").data
        assert not list(validator.iter_errors(data)), name
        assert not list(validator.iter_errors(load(CONFIGS / f"{name}.yaml").data)), name
        assert list(validator.iter_errors({**data, "sede": 1}))


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        ({"dynamics": {"integrator": {"kind": "velocity_verlet", "dt": "2 fs"}, "steps": 1}}, True),
        ({"dynamics": {"integrator": {"kind": "velocity_verlet", "dt": "fast"}, "steps": 1}}, False),
        ({"dynamics": {"integrator": {"kind": "velocity_verlet", "dt": 0.002}, "steps": "10 ps"}}, False),
        ({"system": {"box": ["30 A", 3.0, 3.0]}}, True),
        ({"potentials": {"lj": {"kind": "lennard_jones", "sigma": {"A": "3 A"}, "epsilon": "1 kJ/mol"}}}, True),
        ({"loss": [{"observable": {"kind": "pressure"}, "target": "1 bar"}]}, True),
        ({"loss": [{"observable": {"kind": "pressure"}, "weight": "1 bar"}]}, False),
    ],
)
def test_the_json_schema_takes_numbers_with_a_unit_where_they_have_one(change: dict[str, Any], taken: bool) -> None:
    """What an editor underlines is what `validate` would refuse."""
    validator = jsonschema.Draft202012Validator(json_schema())
    assert (not list(validator.iter_errors(change))) == taken


def _undescribed(node: Any, path: str = "") -> list[str]:
    if not isinstance(node, dict):
        return []
    missing = [f"{path}.{name}" for name, field in node.get("properties", {}).items() if not _described(name, field)]
    return missing + [entry for key, below in node.get("$defs", {}).items() for entry in _undescribed(below, key)]


def _described(name: str, field: dict[str, Any]) -> bool:
    return "description" in field or name in ("kind", "method")


def test_every_field_is_described_with_its_unit() -> None:
    described = json_schema()
    assert _undescribed(described) == []
    dt = described["$defs"]["VelocityVerletSpec"]["properties"]["dt"]
    assert dt["description"].endswith("[time]")
