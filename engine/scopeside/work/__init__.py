"""The worker process: a chain of processors over the frames in the slab."""
