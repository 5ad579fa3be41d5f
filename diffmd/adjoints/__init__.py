"""Gradient methods: each differentiates a problem and knows nothing of how its steps are made."""
