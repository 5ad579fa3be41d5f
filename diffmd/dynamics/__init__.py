"""Integrators and thermostats, and the loops that run them."""

from diffmd.dynamics.base import Integrator, Thermostat
from diffmd.dynamics.integrators.langevin import Langevin
from diffmd.dynamics.integrators.velocity_verlet import VelocityVerlet
from diffmd.dynamics.minimizers.quickmin import QuickMin
from diffmd.dynamics.thermostats.berendsen import Berendsen
from diffmd.dynamics.thermostats.rescale import Rescale

__all__ = ["Berendsen", "Integrator", "Langevin", "QuickMin", "Rescale", "Thermostat", "VelocityVerlet"]
