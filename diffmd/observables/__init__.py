"""Observables: importing this package registers every kind."""

from diffmd.observables import (
    binder,
    density,
    diffusion,
    distances,
    energies,
    fluctuations,
    msd,
    pressure,
    python_function,
    rdf,
    spectrum,
    vacf,
)
from diffmd.observables.base import Frame, Observable, ObservableContext, SeriesObservable

__all__ = [
    "Frame",
    "Observable",
    "ObservableContext",
    "SeriesObservable",
    "binder",
    "density",
    "diffusion",
    "distances",
    "energies",
    "fluctuations",
    "msd",
    "pressure",
    "python_function",
    "rdf",
    "spectrum",
    "vacf",
]
