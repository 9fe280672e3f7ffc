"""Floats to field elements and back, without the sum ever wrapping."""
