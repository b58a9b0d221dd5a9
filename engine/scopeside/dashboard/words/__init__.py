"""How the engine is, in plain words: pure functions of what it says of itself."""
