"""As in the engine."""
