"""Recorded runs, delivered again as they were received."""
