"""The long-run gradients that tests/adjoints/test_reweight_errors.py compares with, and their errors.

    python benchmarks/reweight_reference.py

Thirty independent samplings of 200,000 steps; the error is that of their mean. Takes two minutes on a CPU core.
"""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from adjoints.test_reweight import method
from adjoints.test_reweight_errors import LONG_RUN, fluid, runs

RUNS = 30


def main() -> None:
    """Prints a line a parameter."""
    with jax.enable_x64(True):
        case = fluid(200_500, 20)
        found = [one for one, _ in runs(case, method(case), range(10_000, 10_000 + RUNS), "energies")]
    for path in LONG_RUN:
        values = np.array([float(one.gradients[path]) for one in found])
        print(f"{path}: {values.mean():.6g} +- {values.std(ddof=1) / np.sqrt(RUNS):.2g}")


if __name__ == "__main__":
    main()
