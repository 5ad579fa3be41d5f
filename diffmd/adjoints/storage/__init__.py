"""What a gradient keeps of a run, and what memory that takes."""
