"""Runs that many tests share, and an observer that listens."""

from __future__ import annotations

from small_runs import finished_run, listener, silent, small_spec

__all__ = ["finished_run", "listener", "silent", "small_spec"]
