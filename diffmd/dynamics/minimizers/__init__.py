"""Minimizers, one a file."""
