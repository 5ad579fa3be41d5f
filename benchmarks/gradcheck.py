"""How long gradcheck's built-in set takes where nothing is compiled yet.

    python benchmarks/gradcheck.py [--full] [--only PATTERN] [--cores N]

Runs `diffmd gradcheck` in a process of its own, with an empty cache of compiled programs, on N of the cores there are
(Linux; default: all), and prints what each case says of itself, and the whole in seconds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Runs the check. Returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", default=None)
    parser.add_argument("--cores", type=int, default=None)
    chosen = parser.parse_args()
    if chosen.cores is not None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: chosen.cores])
    options = ["--full"] * chosen.full + (["--only", chosen.only] if chosen.only else [])
    with tempfile.TemporaryDirectory() as name:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "DIFFMD_CACHE_DIR": f"{name}/compiled"}
        call = [sys.executable, "-c", "from diffmd.cli import main; main()", "gradcheck", *options, "-o", f"{name}/run"]
        start = time.perf_counter()
        code = subprocess.run(call, env=environment, stdout=subprocess.DEVNULL, check=False).returncode
        print(f"{time.perf_counter() - start:.1f} s on {len(os.sched_getaffinity(0))} cores, exit code {code}")
    return code


if __name__ == "__main__":
    sys.exit(main())
