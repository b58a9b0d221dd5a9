"""The `video` detector: whatever FFmpeg can read, through PyAV."""
