"""Pictures of plain data. Every picture has a CSV of what it shows and a caption beside it."""
