"""Thermostats, one a file."""
