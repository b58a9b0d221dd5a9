"""Compiled inner loops. They know arrays, and nothing of acquisitions."""
