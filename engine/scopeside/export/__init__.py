"""Recorded runs as files of other programs: what every export format stands on."""
