"""Detector adapters: what brings frames from the outside into the engine."""
