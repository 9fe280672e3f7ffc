"""Scripts of the locked environment: they import nothing of privateyes but each other."""
