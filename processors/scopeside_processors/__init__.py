"""Processors: the science that runs on the frames."""
