"""Observables: importing this package registers every kind."""

from diffmd.observables import distances, energies, rdf
from diffmd.observables.base import Frame, Observable, ObservableContext, SeriesObservable

__all__ = ["Frame", "Observable", "ObservableContext", "SeriesObservable", "distances", "energies", "rdf"]
