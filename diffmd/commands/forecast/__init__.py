"""What a gradient would take, before it is run."""
