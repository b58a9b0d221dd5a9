"""Quantum Detectors MerlinEM (Medipix3): control and data over TCP."""
