"""privateyes: train vision models across people who must never share their images, and show what leaked."""

__version__ = "0.1.0"
