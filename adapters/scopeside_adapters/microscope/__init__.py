"""Control adapters: one module for each way to speak to a microscope."""
