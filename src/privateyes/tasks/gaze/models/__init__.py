"""Gaze estimators: `build_model` makes one from a name, an image shape and a seed."""

from __future__ import annotations

from privateyes.tasks.gaze.models.kinds import INPUTS, LABELS, PICTURES, Label, ModelKind, Offer
from privateyes.tasks.gaze.models.own import source_of_own_model, try_out
from privateyes.tasks.gaze.models.registry import MODELS, build_model, count_parameters, find_kind, require_fit

__all__ = [
    "INPUTS",
    "LABELS",
    "MODELS",
    "PICTURES",
    "Label",
    "ModelKind",
    "Offer",
    "build_model",
    "count_parameters",
    "find_kind",
    "require_fit",
    "source_of_own_model",
    "try_out",
]
