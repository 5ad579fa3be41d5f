"""Commands about configs alone."""
