"""The `file` detector: recorded frames, played as if a detector sent them."""
