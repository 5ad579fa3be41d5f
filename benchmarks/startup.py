"""How long a command takes from its start: to its first line, and to its end; with an empty cache and with a full one.

    python benchmarks/startup.py [--repeats N] [--beside CHECKOUT] [COMMAND ...]

Prints a line a command with the least of N times in seconds: cold (nothing compiled yet) and warm (all programs in
DIFFMD_CACHE_DIR), each as `first line / end`. --beside measures another checkout of diffmd in turns. Modules are
compiled to bytecode before, as in an installed program.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = {
    "gradient": ("gradient", "configs/lj_liquid.yaml", "-s", "dynamics.steps=100"),
    "train": ("train", "configs/bond_angle.yaml", "-s", "train.epochs=2"),
    "simulate": ("simulate", "configs/bond_angle.yaml"),
    "scan": ("scan", "configs/bond_angle.yaml", "--over", "potentials.angle.theta0=90deg:120deg:2"),
    "gradcheck": ("gradcheck", "configs/bond_angle.yaml", "--method", "reverse", "-s", "dynamics.steps=20"),
    "bench": ("bench", "configs/bond_angle.yaml"),
    "validate": ("validate", "configs/bond_angle.yaml"),
    "plot": ("plot", "{run}"),
    "animate": ("animate", "{run}", "--max-frames", "4"),
    "export": ("export", "{run}", "--output", "{out}/frames.pdb", "--overwrite"),
    "inspect": ("inspect", "{run}"),
    "init": ("init", "{out}/made.yaml", "--overwrite"),
    "schema": ("schema",),
    "help": ("--help",),
}
WRITES_A_RUN = ("gradient", "train", "simulate", "scan", "gradcheck", "bench")
COLD = ("gradient", "train", "simulate", "scan", "gradcheck", "validate")
"""Commands that compile."""


@contextlib.contextmanager
def folders() -> Iterator[Path]:
    """A folder for what is made, with a run in it for the commands that look at one."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        once(ROOT, ("simulate", "configs/bond_angle.yaml", "-o", str(out / "run")), out / "compiled")
        yield out


def once(checkout: Path, words: tuple[str, ...], cache: Path) -> tuple[float, float]:
    """Seconds to the first line, and to the end, of one command. Raises RuntimeError where it fails."""
    bytecode = {"PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "diffmd-startup-bytecode")}
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {**kept, **bytecode, "PYTHONPATH": str(checkout), "DIFFMD_CACHE_DIR": str(cache)}
    start = time.perf_counter()
    call = [sys.executable, "-c", "from diffmd.cli import main; main()", *words]
    with subprocess.Popen(
        call, cwd=checkout, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        first, said = _read(process, start)
    end = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError(f"diffmd {' '.join(words)}: exit {process.returncode}: {said[-500:]}")
    return first, end


def _read(process: subprocess.Popen[bytes], start: float) -> tuple[float, str]:
    """When the first bytes came on either stream, and all of stderr."""
    first, said = float("nan"), b""
    with selectors.DefaultSelector() as waiting:
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            waiting.register(stream, selectors.EVENT_READ)
        while waiting.get_map():
            for key, _ in waiting.select():
                read = os.read(key.fd, 65536)
                if not read:
                    waiting.unregister(key.fileobj)
                elif first != first:
                    first = time.perf_counter() - start
                said += read if key.fileobj is process.stderr else b""
    return first, said.decode(errors="replace")


def measure(name: str, checkouts: list[Path], repeats: int, out: Path) -> Iterator[str]:
    """A line a checkout."""
    words = tuple(word.format(run=out / "run", out=out) for word in COMMANDS[name])
    words += ("-o", str(out / name), "--overwrite") if name in WRITES_A_RUN else ()
    kinds = ("cold", "warm") if name in COLD else ("warm",)
    times: dict[tuple[Path, str], list[tuple[float, float]]] = {}
    for _ in range(repeats):
        for checkout in checkouts:
            with tempfile.TemporaryDirectory() as cache:
                for kind in kinds:
                    times.setdefault((checkout, kind), []).append(once(checkout, words, Path(cache)))
    for checkout in checkouts:
        least = {kind: [min(column) for column in zip(*times[checkout, kind], strict=True)] for kind in kinds}
        told = "  ".join(f"{kind} {first:5.2f} / {end:5.2f} s" for kind, (first, end) in least.items())
        yield f"{name:10s} {told}" + (f"  {checkout}" if len(checkouts) > 1 else "")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT")
    parser.add_argument("commands", nargs="*", metavar="COMMAND", default=list(COMMANDS), help=", ".join(COMMANDS))
    options = parser.parse_args()
    checkouts = [ROOT, *([options.beside.resolve()] if options.beside else [])]
    with folders() as out:
        for checkout in checkouts:
            once(checkout, ("schema",), out / "compiled")
        for name in options.commands:
            for line in measure(name, checkouts, options.repeats, out):
                print(line, flush=True)


if __name__ == "__main__":
    main()
