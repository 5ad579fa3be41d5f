"""The pictures stand low in the house: no JAX, no commands, and no matplotlib before something is drawn."""

from __future__ import annotations

import subprocess
import sys


def test_pictures_need_no_engine():
    code = (
        "import sys; import diffmd.plots.curves, diffmd.plots.rdf, diffmd.plots.scan, diffmd.plots.energies, "
        "diffmd.plots.gradients, diffmd.plots.animation; "
        "print([m for m in ('jax', 'matplotlib', 'diffmd.commands', 'diffmd.config') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
