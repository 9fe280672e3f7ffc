"""`privateyes`: the root command, and how errors reach people."""

from __future__ import annotations

import errno
import sys
import traceback
import warnings
from importlib import import_module
from types import TracebackType
from typing import Annotated, Any

import click
import typer
from typer.core import TyperGroup

from privateyes import __version__
from privateyes.cli import clean, compare, demo, evaluate, mpc, report, task, train, transcript
from privateyes.cli.helpful import HelpfulCommand
from privateyes.cli.interruption import exit_code, sigterm_as_interruption, told
from privateyes.errors import PrivateyesError
from privateyes.experiments.task_names import TASK_PACKAGES
from privateyes.wording import printable

_EXIT_USAGE = 2
_EXIT_BUG = 70
_EXIT_UNREAD = 141
# What the `train` extra installs; the base installation has none of it.
_TRAIN_PACKAGES = frozenset({"torch", "h5py", "safetensors", "jinja2", "matplotlib", "scipy", "PIL"})
# What a file system says when a file cannot be written; any other OSError is a bug and keeps its traceback.
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG})
_PERMISSIONS = frozenset({errno.EACCES, errno.EPERM})


class _ErrorsAsLines(TyperGroup):
    """Turns the errors that are meant for people into one line on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except PrivateyesError as error:
            typer.echo(f"error: {printable(' '.join(str(error).split()))}", err=True)
            raise typer.Exit(_EXIT_USAGE) from error
        except KeyboardInterrupt as error:
            typer.echo(told(error), err=True)
            raise typer.Exit(exit_code(error)) from error
        except BrokenPipeError as error:  # click would exit with 1, which a check says about its findings
            raise typer.Exit(_EXIT_UNREAD) from error
        except OSError as error:
            if error.errno not in _DISK_ERRORS:
                raise
            where = f"{error.filename}: " if error.filename else ""
            about = "check its permissions" if error.errno in _PERMISSIONS else "free some space"
            remedy = f"{about}; a run then continues with --resume"
            typer.echo(f"error: {printable(where)}{error.strerror}; {remedy}", err=True)
            raise typer.Exit(_EXIT_USAGE) from error
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] not in _TRAIN_PACKAGES:
                raise
            line = f"error: this command needs {error.name}; install it with `pip install 'privateyes[train]'`"
            typer.echo(line, err=True)
            raise typer.Exit(_EXIT_USAGE) from error


app = typer.Typer(
    cls=_ErrorsAsLines,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Train vision models across people whose images never leave them.\n\n"
        "Start with [bold]privateyes demo[/]: it renders synthetic eyes, trains the same network with six methods "
        "(pooled; alone; federated, and with an adaptive server; and both of these through secure aggregation) and "
        "shows what it cost and what everyone learned. Then copy a file of examples/, and run [bold]privateyes "
        "train[/] on it."
    ),
    epilog=(
        "Exit codes of all commands: 0 done, 1 findings of a check, 2 an error, told in one line, 70 a bug of this "
        "program, 130 interrupted (Ctrl-C), 141 nobody reads the output, 143 ended (SIGTERM)."
    ),
    rich_markup_mode="rich",
)
app.command("demo")(demo.command)
app.command("train")(train.command)
app.command("compare")(compare.command)
app.command("mpc")(mpc.command)
app.command("evaluate")(evaluate.command)
_of_tasks = [import_module(f"{_package}.commands") for _package in TASK_PACKAGES.values()]
for _brought in _of_tasks:
    for _name, _command in _brought.RUN_COMMANDS.items():
        app.command(_name)(_command)
app.command("report")(report.command)
app.command("clean")(clean.command)
for _brought in _of_tasks:
    for _name, _command in _brought.COMMANDS.items():
        if isinstance(_command, typer.Typer):
            app.add_typer(_command, name=_name)
        else:
            app.command(_name)(_command)
task_app = typer.Typer(
    no_args_is_help=True, help="Look at a task before joining it, or after it stopped.", rich_markup_mode="rich"
)
task_app.command("verify")(task.verify)
task_app.command("continue")(task.continue_)
task_app.command("mirror")(task.mirror)
app.add_typer(task_app, name="task")
transcript_app = typer.Typer(no_args_is_help=True, help="Check what was said, offline.", rich_markup_mode="rich")
transcript_app.command("verify")(transcript.verify)
app.add_typer(transcript_app, name="transcript")
for _commands in (app, *(_group.typer_instance for _group in app.registered_groups)):
    for _registered in _commands.registered_commands if _commands is not None else ():
        _registered.cls = HelpfulCommand


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"privateyes {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and leave.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    pass


class _Bugs:
    """Ends the process with a traceback and an exit code that says so; Python's own is 1, a check's verdict."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, KeyboardInterrupt):  # before any command began
            sys.exit(exit_code(error))
        if error is not None and not isinstance(error, SystemExit):
            traceback.print_exception(error)
            sys.exit(_EXIT_BUG)


def main() -> None:
    """The console script.

    Exit codes: 0 done, 1 findings of a check, 2 an error, 70 a bug in this program, 130 interrupted, 141 nobody reads
    the output, 143 ended by SIGTERM.
    """
    warnings.showwarning = _show_warning
    with _Bugs(), sigterm_as_interruption():
        app()


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """One line, as every other warning; where in the code it arose helps nobody who typed a command."""
    typer.echo(f"warning: {message}", err=True)
