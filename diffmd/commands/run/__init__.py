"""What makes and records the run of a command."""
