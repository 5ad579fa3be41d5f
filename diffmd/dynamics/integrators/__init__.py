"""Integrators, one a file."""
