"""Integrators and thermostats, and the loops that run them."""

from diffmd.dynamics.base import Integrator, Thermostat
from diffmd.dynamics.berendsen import Berendsen
from diffmd.dynamics.langevin import Langevin
from diffmd.dynamics.quickmin import QuickMin
from diffmd.dynamics.rescale import Rescale
from diffmd.dynamics.velocity_verlet import VelocityVerlet

__all__ = ["Berendsen", "Integrator", "Langevin", "QuickMin", "Rescale", "Thermostat", "VelocityVerlet"]
