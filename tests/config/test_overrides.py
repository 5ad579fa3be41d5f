"""--set PATH=VALUE."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from damageable import MINIMAL, Said

from diffmd.config.loading import LoadedConfig, load
from diffmd.config.overrides import parse

Minimal = Callable[..., LoadedConfig]


@pytest.mark.parametrize(
    ("argument", "path", "value"),
    [
        ("dynamics.integrator.dt=1e-3", "dynamics.integrator.dt", 1e-3),
        ("a=b=c", "a", "b=c"),
        ("a=", "a", None),
        ("a=NO", "a", "NO"),
        ("a={b: [1, 2]}", "a", {"b": [1, 2]}),
        ("a.b=110 deg", "a.b", "110 deg"),
    ],
)
def test_values_are_yaml(argument: str, path: str, value: object) -> None:
    assert parse(argument) == (path, value)


def test_values_and_missing_sections_are_set(minimal: Minimal) -> None:
    config = minimal(
        "dynamics.integrator.dt=1e-3",
        "system.atoms.1.mass=3",
        "potentials.lj.sigma.A-B=0.4",
        "dynamics.equilibration.steps=10",
        "output.observables.near={kind: nearest_distance}",
        "dynamics.steps=7",
        "dynamics.steps=8",
    ).config
    assert config.dynamics is not None
    assert config.system is not None
    assert config.dynamics.integrator.model_dump()["dt"] == 1e-3
    assert config.system.atoms[1].mass == 3.0
    assert config.potentials["lj"].model_dump()["sigma"] == {"A": 0.5, "B": 0.6, "A-B": 0.4}
    assert config.dynamics.equilibration is not None
    assert config.dynamics.steps == 8
    assert list(config.output.observables) == ["near"]


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("dynamics.step=3", "did you mean steps?"),
        ("dynamcs.steps=3", "did you mean dynamics?"),
        ("potentials.lk.sigma=3", "potentials.lk is not in the config; did you mean lj?"),
        ("output.observables.g.bins=3", "output.observables.g is not in the config"),
        ("loss.7.target=3", "its items are"),
        ("seed.x=3", "seed: is a mapping; write a whole number"),
        ("potentials.bond.k.x=3", "potentials.bond.k is 100.0"),
        ("system.positions[0:3]=1", "a slice cannot be set"),
        ("dynamics.steps", "write --set PATH=VALUE"),
        ("=3", "write --set PATH=VALUE"),
        ("a..b=3", "is not a path"),
        ("a=[1", "is not YAML"),
    ],
)
def test_refused(said: Said, argument: str, words: str) -> None:
    message = said(argument)
    assert argument.split("=")[0] in message
    assert words in message


def test_an_error_names_the_override_that_made_it(said: Said) -> None:
    assert said("dynamics.integrator.dt=-1").startswith(
        "--set dynamics.integrator.dt=-1: dynamics.integrator.dt: is -1; must be more than 0"
    )


def test_files_are_relative_to_the_config_or_for_overrides_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "work").mkdir()
    xyz = "1\n\nA 0 0 0\n"
    (tmp_path / "configs" / "near.xyz").write_text(xyz)
    (tmp_path / "work" / "here.xyz").write_text(xyz)
    config = tmp_path / "configs" / "c.yaml"
    config.write_text(MINIMAL.replace("{kind: random, min_distance: 0.5}", "{kind: file, path: near.xyz}"))
    monkeypatch.chdir(tmp_path / "work")
    data = load(config).data
    assert data["system"]["positions"]["path"] == "near.xyz"
    data = load(config, ["system.positions.path=here.xyz"]).data
    assert data["system"]["positions"]["path"] == str(tmp_path / "work" / "here.xyz")
