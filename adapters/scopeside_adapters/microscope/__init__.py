"""Control adapters: microscopes that can be commanded, each by its own interface."""
