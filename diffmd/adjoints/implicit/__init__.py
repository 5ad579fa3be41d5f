"""Gradients of minimised structures."""
