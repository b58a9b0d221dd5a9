"""The channels process: runs the sources of side channels, a thread each."""
