"""The loops that run steps: compiled segments, and the host's loop over them."""
