"""Runs a recording again, and holds what comes of it against what came of it then."""
