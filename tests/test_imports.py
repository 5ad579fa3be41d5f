"""The house's walls, read from the source: imports run one way, files and terminal have their own rooms."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import diffmd

ROOT = Path(diffmd.__file__).parent
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py") if "__pycache__" not in path.parts)

ORDER = (
    {"compiler"},
    {"programs"},
    {"errors", "paths", "slopes", "units", "quantities", "box", "connectivity", "spec", "system"},
    {"neighbors"},
    {"potentials"},
    {"forcefield"},
    {"dynamics"},
    {"observables"},
    {"losses"},
    {"parameters"},
    {"objective"},
    {"diagnosis"},
    {"causes"},
    {"simulation"},
    {"adjoints"},
    {"training"},
    {"config"},
    {"commands"},
    {"cli"},
)
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
ASIDE = {"io": {"io", "units", "errors", "paths"}, "plots": {"plots", "io", "units", "errors", "paths"}}
FILES = {"io", "plots", "config", "cli"}
OPENING = {
    "open",
    "read_text",
    "read_bytes",
    "write_text",
    "write_bytes",
    "mkdir",
    "unlink",
    "rename",
    "rmtree",
    "File",
}
OWN = {"Session", "RunDirectory"}
"""Classes with an `open` of their own, which is no file's."""
OPENING_OF_OS = {"replace", "remove", "makedirs", "symlink", "link", "rmdir"}


def room(module: Path) -> str:
    """The package or module below diffmd; empty for diffmd itself."""
    return module.parts[0].removesuffix(".py") if module.parts[0] != "__init__.py" else ""


def tree(module: Path) -> ast.Module:
    return ast.parse((ROOT / module).read_text())


def imported(module: Path) -> set[str]:
    """The rooms that a module imports from, wherever in it; ``__version__`` and the like are of no room."""
    found: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("diffmd.")}
    rooms = {room(m) for m in MODULES}
    return found & rooms


def ids(modules: list[Path]) -> dict:
    return {"argvalues": modules, "ids": map(str, modules)}


@pytest.mark.parametrize("module", **ids([m for m in MODULES if room(m)]))
def test_imports_run_one_way(module: Path) -> None:
    own = room(module)
    if own in ASIDE:
        assert imported(module) <= ASIDE[own]
        return
    assert own in LEVEL, f"{own} has no place in the order of imports"
    for other in imported(module):
        assert other in ASIDE or LEVEL[other] <= LEVEL[own], f"{own} comes before {other}"


def test_engine_needs_no_files() -> None:
    engine = [m for m in MODULES if room(m) in LEVEL and LEVEL[room(m)] < LEVEL["config"]]
    assert not [str(m) for m in engine if imported(m) & set(ASIDE)]


def calls(module: Path) -> list[tuple[str, str, int]]:
    """(owner, name, line) of every call: ``os.replace()`` is ("os", "replace"), ``print()`` is ("", "print")."""
    found = []
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                found.append(("", node.func.id, node.lineno))
            elif isinstance(node.func, ast.Attribute):
                owner = node.func.value
                found.append((owner.id if isinstance(owner, ast.Name) else "?", node.func.attr, node.lineno))
    return found


@pytest.mark.parametrize("module", **ids([m for m in MODULES if room(m) not in FILES]))
def test_only_some_rooms_touch_files(module: Path) -> None:
    def touches(owner: str, name: str) -> bool:
        if not owner:
            return name == "open"
        return (name in OPENING and owner not in OWN) or (owner == "os" and name in OPENING_OF_OS)

    touched = [f"{owner}.{name} in line {line}" for owner, name, line in calls(module) if touches(owner, name)]
    assert not touched


@pytest.mark.parametrize("module", **ids([m for m in MODULES if room(m) != "cli"]))
def test_only_the_command_line_prints(module: Path) -> None:
    printed = [f"{name} in line {line}" for owner, name, line in calls(module) if (owner, name) == ("", "print")]
    streams = [
        f"{node.value.id}.{node.attr} in line {node.lineno}"
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if node.value.id == "sys" and node.attr in ("stdout", "stderr", "stdin")
    ]
    assert not printed + streams


@pytest.mark.parametrize("module", **ids(MODULES))
def test_no_file_is_long(module: Path) -> None:
    assert len((ROOT / module).read_text().splitlines()) < 400


@pytest.mark.parametrize("module", **ids([m for m in MODULES if LEVEL.get(room(m), 99) < LEVEL["config"]]))
def test_the_engine_names_no_precision(module: Path) -> None:
    names = {node.attr for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)}
    texts = {node.value for node in ast.walk(tree(module)) if isinstance(node, ast.Constant)}
    assert not {"float32", "float64"} & (names | {text for text in texts if isinstance(text, str)})
