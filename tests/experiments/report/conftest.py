"""Run directories for the tests of the page."""

from __future__ import annotations

from made_runs import run_maker

__all__ = ["run_maker"]
