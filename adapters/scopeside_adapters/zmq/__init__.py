"""The public frame wire: any program can push frames (docs/wire.md)."""
