"""The tasks of privateyes by name, and where they are; nothing of them is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

TASK_PACKAGES: Final[Mapping[str, str]] = MappingProxyType({"gaze": "privateyes.tasks.gaze"})
"""Name in an experiment file -> package with ``experiment.TASK``, and the two lists of commands of ``commands``."""
