"""privateyes: train vision models across people who must never share their images, and show what leaked."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from privateyes.api import Comparison as Comparison
    from privateyes.api import Run as Run
    from privateyes.api import as_frame as as_frame
    from privateyes.api import calibrate as calibrate
    from privateyes.api import compare as compare
    from privateyes.api import evaluate as evaluate
    from privateyes.api import export as export
    from privateyes.api import open_comparison as open_comparison
    from privateyes.api import open_run as open_run
    from privateyes.api import predict as predict
    from privateyes.api import train as train
    from privateyes.engines.memory import Average as Average
    from privateyes.engines.memory import SecureAverage as SecureAverage
    from privateyes.parties.aggregator import AggregatorHost as AggregatorHost
    from privateyes.parties.client import ClientHost as ClientHost
    from privateyes.parties.hub import HubHost as HubHost

__version__ = "0.1.0"

_IN_API: Final = (
    "Comparison", "Run", "as_frame", "calibrate", "compare", "evaluate", "export", "open_comparison", "open_run",
    "predict", "train",
)  # fmt: skip
_PLACES: Final = {
    **dict.fromkeys(_IN_API, "privateyes.api"),
    "Average": "privateyes.engines.memory",
    "SecureAverage": "privateyes.engines.memory",
    "AggregatorHost": "privateyes.parties.aggregator",
    "ClientHost": "privateyes.parties.client",
    "HubHost": "privateyes.parties.hub",
}
__all__ = [
    "AggregatorHost", "Average", "ClientHost", "Comparison", "HubHost", "Run", "SecureAverage", "as_frame", "calibrate",
    "compare", "evaluate", "export", "open_comparison", "open_run", "predict", "train",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """Import what is asked for, and nothing before: the package itself costs no time."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_PLACES[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == __name__:
            raise
        problem = f"privateyes.{name} needs {error.name}, which is not installed: pip install 'privateyes[train]'"
        raise ImportError(problem, name=error.name) from error


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
