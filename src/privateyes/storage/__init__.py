"""Where parties keep what they must not forget."""
