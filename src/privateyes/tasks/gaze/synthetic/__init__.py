"""Synthetic eyes: a parametric renderer of grey eye images with exact gaze labels, many persons, and no real face."""

from privateyes.tasks.gaze.synthetic.persons import render_person, render_persons

__all__ = ["render_person", "render_persons"]
