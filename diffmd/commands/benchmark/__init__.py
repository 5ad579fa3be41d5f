"""``diffmd bench``."""
