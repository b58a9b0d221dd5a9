"""The simulated microscope: frames with known truth, and an instrument to command."""
