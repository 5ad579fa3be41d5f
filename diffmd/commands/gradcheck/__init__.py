"""``diffmd gradcheck``."""
