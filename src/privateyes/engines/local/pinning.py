"""The manifest that the parties pinned, held against another one that claims to be the same."""

from __future__ import annotations

from pathlib import Path

from privateyes.aggregation.manifest import manifest_from_toml
from privateyes.aggregation.manifest_check import differences
from privateyes.errors import ConfigError, ParameterError, RunDirectoryError


def first_difference(pinned: str, other: str) -> str | None:
    """Where two manifests first differ, with both values; None if they are the same task's.

    Args:
        pinned, other: TOML.

    Raises:
        ConfigError, ParameterError: one of them is no manifest.
    """
    found = differences(manifest_from_toml(pinned), manifest_from_toml(other), ("as pinned", "here"))
    return found[0] if found else None


def require_pinned(path: Path, pinned: str) -> None:
    """Refuse a manifest file that is not the pinned manifest; a missing one is no fault.

    Raises:
        RunDirectoryError: it differs, or cannot be read.
    """
    remedy = "remove that file: the parties hold copies of their own, from which it is written again"
    try:
        difference = first_difference(pinned, path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError, ConfigError, ParameterError) as error:
        reason = error.problem if isinstance(error, ConfigError | ParameterError) else error
        raise RunDirectoryError(f"{path} cannot be read as a manifest ({reason})", remedy) from None
    if difference is not None:
        raise RunDirectoryError(f"{path} is not this task's manifest: {difference}", remedy)
