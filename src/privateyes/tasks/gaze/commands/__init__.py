"""What gaze adds to the command line; nothing heavy is imported before a command runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import typer

from privateyes.tasks.gaze.commands import calibrate, check, export, merge, models, partition, predict, prepare, render

_data = typer.Typer(no_args_is_help=True, help="Make and check data files.", rich_markup_mode="rich")
_data.command("render")(render.command)
_data.command("check")(check.command)
_data.command("prepare")(prepare.command)
_data.command("merge")(merge.command)
_data.command("partition")(partition.command)

RUN_COMMANDS: Final[Mapping[str, Callable[..., Any]]] = MappingProxyType(
    {"calibrate": calibrate.command, "predict": predict.command, "export": export.command}
)
"""Name -> a command about a run's models; help lists it after `evaluate`."""

COMMANDS: Final[Mapping[str, Callable[..., Any] | typer.Typer]] = MappingProxyType(
    {"models": models.command, "data": _data}
)
"""Name -> any other command, or a group of commands; help lists it after `clean`."""
