"""Reverse mode through stored states."""
