"""Scanning: quantities that each probe position has one of."""
