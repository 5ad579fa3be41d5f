"""Types called as force fields call them: in overrides, parameters, refusals with their lines, and written files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from diffmd.config.loading import LoadedConfig, load
from diffmd.config.paths import get, leaves, put
from diffmd.config.writing import write_text
from diffmd.config.yaml_reader import read_text
from diffmd.errors import ConfigError

TYPES = ("C.2", "N.am", "DNA-N*", "CALA/CB", "X:3", "1", "O5'+")
SIGMA = dict.fromkeys(TYPES, 0.3) | {"C.2-DNA-N*": 0.32}
DATA: dict[str, Any] = {
    "system": {
        "box": [3.0, 3.0, 3.0],
        "atoms": [{"type": name, "count": 1, "mass": 10.0} for name in TYPES],
        "positions": {"kind": "chain", "bond_length": 0.33},
    },
    "potentials": {
        "lj": {
            "kind": "lennard_jones",
            "sigma": SIGMA,
            "epsilon": 0.5,
            "cutoff": {"kind": "shifted_force", "distance": 1.2},
        }
    },
    "dynamics": {"integrator": {"kind": "velocity_verlet", "dt": 0.002}, "steps": 2},
    "loss": [{"observable": {"kind": "potential_energy"}, "target": -1.0}],
    "parameters": ["potentials.lj.sigma"],
}


def loaded(folder: Path, *overrides: str, text: str | None = None) -> LoadedConfig:
    file = folder / "named.yaml"
    file.write_text(yaml.safe_dump(DATA, sort_keys=False) if text is None else text)
    return load(file, overrides)


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ('potentials.lj.sigma["C.2"]=0.35', "C.2"),
        ("potentials.lj.sigma['C.2']=0.35", "C.2"),
        ("potentials.lj.sigma.CALA/CB=0.35", "CALA/CB"),
        ("potentials.lj.sigma.DNA-N*=0.35", "DNA-N*"),
        ("potentials.lj.sigma.1=0.35", "1"),
        ('potentials.lj.sigma["C.2-DNA-N*"]=0.35', "C.2-DNA-N*"),
        ('potentials.lj.sigma["N.am-X:3"]=0.35', "N.am-X:3"),
    ],
)
def test_a_quoted_key_is_set(tmp_path: Path, override: str, key: str) -> None:
    sigma = loaded(tmp_path, override).config.potentials["lj"].sigma
    assert sigma == {**SIGMA, key: 0.35}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("potentials.lj.sigma.C.2=1", 'names nothing; a key with a dot stands in quotes: potentials.lj.sigma["C.2"]'),
        ("potentials.lj.sigma.C.2-DNA-N*=1", 'stands in quotes: potentials.lj.sigma["C.2-DNA-N*"]'),
        ('potentials.lj.sigma["C.3"]=1', "\"C.3\"]: 'C.3' is not 2 of the system's types joined by hyphens"),
        ('potentials.lj.sigma["C.3"]=1', "did you mean C.2?"),
        ('potentials.lj.sigma["C.2"]=x', "potentials.lj.sigma[\"C.2\"]: is 'x'; write a number"),
        ('potentials.lj.sigma["a=b"]', "write --set PATH=VALUE"),
        ("parameters=[potentials.lj.sigma.N.am]", 'a key with a dot stands in quotes: potentials.lj.sigma["N.am"]'),
        ("""parameters=['potentials.lj.sigma["N.an"]']""", 'did you mean potentials.lj.sigma["N.am"]?'),
        ("""parameters=[{path: 'potentials.lj.sigma["C.2"]', tie: [potentials.lj.sigma.N.am]}]""", "stands in quotes"),
        ("""parameters=[{path: 'potentials.lj.sigma["C.2"]', upper: 0.2}]""", "it starts above its own bound 0.2"),
        ("system.atoms.0.type=C 2", "is 'C 2'; write a name without spaces, by which"),
    ],
)
def test_what_is_refused_says_how_to_write_it(tmp_path: Path, override: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, override)
    assert said in str(caught.value)
    assert f"--set {override}" in str(caught.value)


def test_a_key_taken_apart_at_its_dot_where_there_was_none_is_told(tmp_path: Path) -> None:
    system = {"positions": {"kind": "file", "path": "start.xyz"}}
    text = yaml.safe_dump({**DATA, "system": system})
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, "system.masses.C.2=12", text=text)
    assert str(caught.value) == (
        "--set system.masses.C.2=12: system.masses.C: is a mapping; write a number or a list; "
        'a key with a dot stands in quotes: system.masses["C.2"]'
    )


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ("N.am: x", "potentials.lj.sigma[\"N.am\"]: is 'x'; write a number"),
        ("N.aa: 0.3", "potentials.lj.sigma[\"N.aa\"]: 'N.aa' is not 2 of the system's types"),
    ],
)
def test_refusals_name_the_line(tmp_path: Path, new: str, said: str) -> None:
    text = yaml.safe_dump(DATA)
    line = next(number for number, line in enumerate(text.splitlines(), 1) if "N.am: 0.3" in line)
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text=text.replace("N.am: 0.3", new))
    assert f"named.yaml:{line}: {said}" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: {C.2: 1, C.2: 2}", 'x:1: a["C.2"]: stands twice, on lines 1 and 1; keep one'),
        (
            'parameters: [potentials.lj.sigma["C.2"]]',
            "x:1: a path with a quoted key must itself be quoted in brackets: ['potentials.lj.sigma[\"C.2\"]']",
        ),
    ],
)
def test_yaml_that_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_text(text, "x")
    assert str(caught.value) == said


def test_one_value_a_type(tmp_path: Path) -> None:
    per_type = "parameters=[{path: potentials.lj.sigma, per: type}]"
    found = loaded(tmp_path, "potentials.lj.sigma=0.31", per_type).config.potentials["lj"].sigma
    assert found == dict.fromkeys(TYPES, 0.31)


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    data = {**loaded(tmp_path).data, "parameters": ['potentials.lj.sigma["C.2"]', "potentials.lj.sigma.*"]}
    assert read_text(write_text(data), "text").data == data


def test_every_leaf_is_found_and_put_by_its_path() -> None:
    for path, value in leaves(DATA):
        assert get(DATA, path) == value
        assert put(DATA, path, value) == DATA
    assert 'potentials.lj.sigma["C.2-DNA-N*"]' in dict(leaves(DATA))
    with pytest.raises(ConfigError, match=r'no `C`; a key with a dot stands in quotes: .*sigma\["C\.2"\]'):
        get(DATA, "potentials.lj.sigma.C.2")
