"""The sections of a config, one a file."""
