"""Recorded runs as they lie on disk: written, read, followed, mended."""
