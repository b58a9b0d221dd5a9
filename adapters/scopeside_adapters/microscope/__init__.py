"""Control adapters: microscopes that can be commanded, each by its own interface."""
"""Control adapters: one module for each way to speak to a microscope."""
