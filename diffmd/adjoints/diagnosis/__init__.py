"""What a gradient means, and why it means nothing any more."""
