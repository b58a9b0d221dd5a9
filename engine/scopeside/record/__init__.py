"""The recorder: batches on their way from the slab to disk."""
