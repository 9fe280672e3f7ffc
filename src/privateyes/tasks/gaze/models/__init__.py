"""Gaze estimators: `build_model` makes one from a name, an image shape and a seed."""

from __future__ import annotations

from privateyes.tasks.gaze.models.registry import MODELS, ModelKind, build_model

__all__ = ["MODELS", "ModelKind", "build_model"]
