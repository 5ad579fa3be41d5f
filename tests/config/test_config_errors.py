"""What is said about a wrong config: place, path, what is wrong, what to write."""

from __future__ import annotations

import re

import pytest
from damageable import MINIMAL, Said

from diffmd.config.loading import load_data
from diffmd.config.yaml_reader import read_text
from diffmd.errors import ConfigError


def _line(word: str) -> int:
    return 1 + MINIMAL[: MINIMAL.index(word)].count("\n")


@pytest.mark.parametrize(
    ("old", "new", "path", "words"),
    [
        ("epsilon", "epsilom", "potentials.lj.epsilom", "did you mean epsilon?"),
        ("min_distance", "min_dist", "system.positions.min_dist", "min_distance"),
        ("steps: 20", "step: 20", "dynamics.step", "did you mean steps?"),
        ("lennard_jones", "lenard_jones", "potentials.lj.kind", "did you mean lennard_jones?"),
        ("shifted_force", "shifted", "potentials.lj.cutoff.kind", "shifted_force"),
        ("kind: nearest_distance", "kind: nearest", "loss.0.observable.kind", "nearest_distance"),
        ("steps: 20", "steps: 20.5", "dynamics.steps", "is 20.5; write a whole number"),
        ("steps: 20", "steps: 2e1", "dynamics.steps", "such as 20"),
        ("steps: 20", "steps: many", "dynamics.steps", "is 'many'"),
        ("dt: 0.01", "dt: 0", "dynamics.integrator.dt", "is 0; must be more than 0"),
        ("dt: 0.01", "dt: true", "dynamics.integrator.dt", "is true; write a number"),
        ("dt: 0.01", "dt: .nan", "dynamics.integrator.dt", "must be a finite number"),
        ("epsilon: 0.2", "epsilon: 1e400", "potentials.lj.epsilon", "is inf; must be a finite number"),
        ("epsilon: 0.2", "epsilon: -0.2", "potentials.lj.epsilon", "must be at least 0"),
        ("epsilon: 0.2", "epsilon: [1]", "potentials.lj.epsilon", "write a number or a mapping"),
        ("B: 0.6", "B: x", "potentials.lj.sigma.B", "is 'x'; write a number"),
        ("box: [4.0, 4.0, 4.0]", "box: none", "system.box", "is 'none'; write a list or 'auto', or null for none"),
        (
            "target: 0.5",
            "target: my_rdf.csv",
            "loss.0.target",
            "is 'my_rdf.csv'; write a number, a list or a mapping; a file is {kind: file, path: my_rdf.csv}",
        ),
        ("mass: 2.0", "mass: 0", "system.atoms.1.mass", "must be more than 0"),
        ("mass: 2.0", "mas: 2.0", "system.atoms.1.mas", "did you mean mass?"),
        (", mass: 2.0", "", "system.atoms.1.mass", "is missing: Mass of each atom"),
        ("box: [4.0, 4.0, 4.0]", "box: [4.0, 4.0]", "system.box", "needs 3 entries, has 2"),
        ("box: [4.0, 4.0, 4.0]", "box: [4.0, 4.0, -1]", "system.box.2", "must be more than 0"),
        ("box: [4.0, 4.0, 4.0]", "box: cube", "system.box", "is 'cube'; write a list or 'auto'"),
        ("type: B", 'type: "2 B"', "system.atoms.1.type", "write a name without spaces"),
        ("bond: {", "2bond: {", "potentials.2bond", "is not a name"),
        ("target: 0.5", "target: 0.5, compare: huge", "loss.0.compare", "write absolute, squared"),
        ("target: 0.5", "target: 0.5, frames: {from: 1, too: 2}", "loss.0.frames.too", "did you mean to?"),
    ],
)
def test_a_wrong_value_is_told_with_line_path_and_remedy(said: Said, old: str, new: str, path: str, words: str) -> None:
    assert MINIMAL.count(old) >= 1
    message = said(text=MINIMAL.replace(old, new, 1)).splitlines()
    first = next(line for line in message if f" {path}: " in line)
    assert first.startswith(f"c.yaml:{_line(old if not old.startswith(', ') else old[2:])}: {path}: ")
    assert words in first


@pytest.mark.parametrize(
    ("key", "value", "under", "words"),
    [
        ("observables", "{}", (), "`observables` belongs at output.observables"),
        ("dt", "0.01", (), "`dt` belongs at dynamics.integrator.dt"),
        ("dt", "0.01", ("dynamics",), "`dt` belongs at dynamics.integrator.dt"),
        ("cutoff", "1.5", ("dynamics",), "`cutoff` belongs at potentials.lj.cutoff"),
        ("tau", "1.5", ("dynamics",), "`tau` belongs at dynamics.thermostat.tau"),
        ("temperature", "0.1", (), "`temperature` belongs at dynamics.thermostat.temperature"),
        ("epochs", "3", (), "`epochs` belongs at train.epochs"),
        ("target", "0.5", (), "`target` belongs at loss.0.target"),
        ("friction", "1.0", ("dynamics", "integrator"), "it belongs to another kind: dynamics.integrator.friction"),
        ("friction", "1.0", (), "`friction` belongs at dynamics.integrator.friction (kind: langevin)"),
        ("weight", "1.0", ("system",), "`weight` belongs at loss.0.weight"),
        ("sigam", "1.0", ("potentials", "lj"), "unknown key; did you mean sigma?"),
        ("box", "[1, 1, 1]", (), "`box` belongs at system.box"),
    ],
)
def test_a_key_that_belongs_elsewhere_is_told_where(key: str, value: str, under: tuple[str, ...], words: str) -> None:
    data = read_text(MINIMAL, "c.yaml").data
    inner = data
    for name in under:
        inner = inner[name]
    inner[key] = read_text(value, "value").data
    with pytest.raises(ConfigError, match=re.escape(words)):
        load_data(data)


def test_all_errors_are_told_at_once(said: Said) -> None:
    text = (
        MINIMAL.replace("steps: 20", "stepz: 20").replace("mass: 2.0", "mass: -2").replace("kind: random", "kind: rand")
    )
    message = said(text=text).splitlines()
    assert len(message) == 4
    assert any("dynamics.steps: is missing" in line for line in message)


def test_only_the_first_ten_are_told(said: Said) -> None:
    text = MINIMAL.replace("[[0, 1], [1, 2]]", str([["x", "y"]] * 20))
    message = said(text=text).splitlines()
    assert len(message) == 11
    assert message[-1].startswith("... and ")


def test_a_second_key_is_told_with_both_lines(said: Said) -> None:
    assert "seed: stands twice, on lines 1 and 22" in said(text="seed: 1\n" + MINIMAL + "seed: 2\n")


def test_errors_found_later_are_located(minimal) -> None:  # type: ignore[no-untyped-def]
    loaded = minimal("dynamics.steps=30")
    located = loaded.source.locate(ConfigError("is odd", "potentials.lj.sigma.B"))
    assert located.endswith(f"c.yaml:{_line('sigma:')}: potentials.lj.sigma.B: is odd")
    assert loaded.source.locate(ConfigError("is odd", "dynamics.steps")).startswith("--set dynamics.steps=30: ")
    assert loaded.source.locate(ConfigError("is odd")).endswith("c.yaml: is odd")


def test_plain_data_is_checked_too() -> None:
    with pytest.raises(ConfigError, match="config: system: is missing"):
        load_data({})


def test_a_key_named_like_its_kind(said: Said) -> None:
    override = "system.positions={kind: lattice, lattice: fcc, density: x}"
    assert "system.positions.density: is 'x'; write a number" in said("system.box=auto", override)
