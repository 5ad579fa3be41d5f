"""Makes the target curves of the shipped configs, configs/data/*.csv, from potentials that are known.

    python benchmarks/make_targets.py [NAME ...] [--steps N]

Each curve is the mean g(r) over a long run of the config's own dynamics with the potential that it is to find again.
spline_pair_start.csv, from which the spline sets out, is the potential of mean force -k_B T ln g at the largest of the
three densities. Takes some minutes a name.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float

import diffmd

CONFIGS = Path(__file__).parent.parent / "configs"
DATA = CONFIGS / "data"


@dataclasses.dataclass(frozen=True)
class Target:
    """Curves of one config.

    Attributes:
        config: its name.
        overrides: what makes its potential the known one.
        last, bins: distance at which the curves end, and number of their points.
        curves: system's suffix in the trajectory's name -> the curve's file.
    """

    config: str
    overrides: tuple[str, ...]
    last: float
    bins: int
    curves: dict[str, str]


FIRST = 0.6
_FLUID = (
    "potentials={lj: {kind: lennard_jones, sigma: 1.0, epsilon: 1.0, "
    "cutoff: {kind: switch, distance: 2.0, from: 1.6}}}",
)
TARGETS = {
    "argon_rdf": Target(
        "argon_rdf", ("potentials.lj.sigma=1.0", "potentials.lj.epsilon=1.0"), 2.5, 60, {"": "argon_rdf.csv"}
    ),
    "spline_pair": Target(
        "spline_pair",
        _FLUID,
        2.1,
        50,
        {f"_{name}": f"spline_pair_0{n}0.csv" for name, n in (("thin", 3), ("middle", 5), ("dense", 7))},
    ),
    "spline_pair_check": Target(
        "spline_pair",
        (*_FLUID, "systems.dense.system.positions.density=0.8"),
        2.1,
        50,
        {"_dense": "spline_pair_080.csv"},
    ),
}
WIDTH, SHARP = 0.03, 0.01
TEMPERATURE, LEAST = 1.5, 0.02


def make(name: str, steps: int) -> None:
    """Runs a config with the known potential and writes its curves."""
    target = TARGETS[name]
    r = FIRST + (target.last - FIRST) / target.bins * (np.arange(target.bins) + 0.5)
    settings = (
        *target.overrides,
        "parameters=[]",
        f"dynamics.steps={steps}",
        "dynamics.equilibration.steps=20000",
        "output.every=50",
        f"output.observables.g={_observable(target, WIDTH)}",
        f"output.observables.sharp={_observable(target, SHARP)}",
    )
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "run"
        diffmd.simulate(CONFIGS / f"{target.config}.yaml", set=settings, output=output)
        for suffix, curve in target.curves.items():
            with h5py.File(output / f"trajectory{suffix}.h5md") as file:
                write(curve, "r,g", r, file["observables/g/value"][:].mean(axis=0))
        if name == "spline_pair":
            with h5py.File(output / "trajectory_dense.h5md") as file:
                start_from_mean_force(r, file["observables/sharp/value"][:].mean(axis=0))


def _observable(target: Target, width: float) -> str:
    return f"{{kind: rdf, range: [{FIRST}, {target.last}], bins: {target.bins}, width: {width}}}"


def start_from_mean_force(r: Float[np.ndarray, "points"], g: Float[np.ndarray, "points"]) -> None:
    """Writes -k_B T ln g where g > LEAST, going on below that with the slope that it has there."""
    seen = g > LEAST
    first = int(np.argmax(seen))
    u = -TEMPERATURE * np.log(np.where(seen, g, 1))
    slope = (u[first + 1] - u[first]) / (r[first + 1] - r[first])
    # The spline ends at zero.
    write("spline_pair_start.csv", "r,u", r, np.where(seen, u, u[first] + slope * (r - r[first])) - u[-1])


def write(name: str, header: str, x: Float[np.ndarray, "points"], y: Float[np.ndarray, "points"]) -> None:
    """A curve as CSV."""
    rows = "".join(f"{a:.6f},{b:.6f}\n" for a, b in zip(x, y, strict=True))
    (DATA / name).write_text(f"{header}\n{rows}", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--steps", type=int, default=500_000, help="steps of each run, after equilibration")
    arguments = parser.parse_args()
    for one in arguments.names or TARGETS:
        make(one, arguments.steps)
