"""Synthetic eyes: a parametric renderer of grey eye images with exact gaze labels, many persons, and no real face."""

from privateyes.tasks.gaze.synthetic.persons import draw_labels, render_person, render_persons

__all__ = ["draw_labels", "render_person", "render_persons"]
