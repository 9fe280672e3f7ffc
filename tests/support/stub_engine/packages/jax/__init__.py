"""Enough of jax for `networks.py` to be imported."""
