"""The command line, called in this process."""

from __future__ import annotations

from called import _no_width, call, experiment, trained

__all__ = ["_no_width", "call", "experiment", "trained"]
