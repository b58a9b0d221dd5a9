"""The `watch` detector: files and folders that a camera writes as it goes."""
