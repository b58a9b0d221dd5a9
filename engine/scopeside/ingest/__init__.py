"""The adapter process: a detector, the slots it fills, and the tee behind it."""
