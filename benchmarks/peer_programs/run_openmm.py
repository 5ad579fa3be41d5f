"""OpenMM's part of benchmarks/peers.py: its CPU platform (which computes forces in single precision).

    python run_openmm.py FOLDER THREADS

Lennard-Jones by NonbondedForce with a plain cutoff, no charges; leapfrog Verlet, and constant energy for the fluid,
too: it has no thermostat that rescales in each step. Times are of ``step`` and of asking for the energy at the end.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import openmm
from answering import answered


def serve(folder: Path, threads: int) -> None:
    """Answers requests. Reduced units pass for nm, ps, dalton and kJ/mol, which belong together as they do."""
    start = np.load(folder / "start.npz")
    x, v, steps = start["positions"], start["velocities"], int(start["steps"])
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*np.diag(start["box"]))
    force = openmm.NonbondedForce()
    force.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    force.setCutoffDistance(float(start["cutoff"]))
    force.setUseDispersionCorrection(False)
    for _ in x:
        system.addParticle(float(start["mass"]))
        force.addParticle(0.0, float(start["sigma"]), float(start["epsilon"]))
    system.addForce(force)
    integrator = openmm.VerletIntegrator(float(start["dt"]))
    platform = openmm.Platform.getPlatformByName("CPU")
    context = openmm.Context(system, integrator, platform, {"Threads": str(threads)})

    def energy() -> float:
        return context.getState(getEnergy=True).getKineticEnergy()._value

    def begin() -> None:
        context.setPositions(x)
        context.setVelocities(v)
        context.getState(getForces=True)

    def run() -> dict[str, float]:
        begin()
        begun = time.perf_counter()
        integrator.step(steps)
        kinetic = energy()
        took = time.perf_counter() - begun
        return {"seconds": took, "temperature": 2 * kinetic / (3 * len(x) - 3)}

    run()
    answered(f"OpenMM {openmm.Platform.getOpenMMVersion()} (CPU platform, single)", {"forward": run})


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
