"""GPUs: what the engine and the processors ask of one, and who gets it."""
