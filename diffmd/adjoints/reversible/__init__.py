"""Reverse mode through integer dynamics that runs back."""
