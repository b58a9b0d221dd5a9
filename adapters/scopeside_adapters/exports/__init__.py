"""Recorded runs as files that other programs open."""
