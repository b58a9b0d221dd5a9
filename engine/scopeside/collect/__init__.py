"""The collector process: merges parts into whole results, keeps and publishes them."""
