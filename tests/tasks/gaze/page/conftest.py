"""Run directories for the tests of what gaze adds to a page."""

from __future__ import annotations

from made_runs import run_maker

__all__ = ["run_maker"]
