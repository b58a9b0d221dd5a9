"""Weights of the kinds of motion; written by bench/motion_weights.py."""

WEIGHTS: tuple[tuple[float, ...], ...] = ((0.0,) * 6,) * 16
