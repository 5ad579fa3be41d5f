"""Gradients of averages over a sampled ensemble."""
