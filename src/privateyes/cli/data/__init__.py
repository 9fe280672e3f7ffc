"""`privateyes data`: make and check data files."""
