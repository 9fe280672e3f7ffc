"""`privateyes mpc`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    experiment: Annotated[
        Path, typer.Argument(metavar="EXPERIMENT", help=r"A TOML file; its table \[mpc] is optional.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help=r"Where the results go. \[default: runs/<name>-mpc]")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE.h5", help=r"Use this data file in place of \[data].")
    ] = None,
) -> None:
    """Train under generic MPC: the images themselves are secret-shared, the network is trained on shares.

    The costly baseline, with a real engine (SecretFlow's SPU) in an environment of its own, which the first call
    makes: about 230 MB to download, for Linux on x86_64, with Python 3.11. A small network on few samples is trained;
    what more would cost is extrapolated, and marked so. A finished fold is not trained again.

    Exit codes:

    - 0: every fold is finished.
    - 2: experiment, data, directory or engine cannot be used.

    Example: privateyes mpc examples/mpiigaze_crops.toml
    """
    from privateyes.cli.interruption import work_that_goes_on
    from privateyes.cli.mpc_tables import choose_mpc_observer, print_mpc
    from privateyes.experiments.mpc.experiment import run_mpc_experiment
    from privateyes.experiments.spec import load_spec

    spec = load_spec(experiment, data)
    directory = Path("runs") / f"{spec.name}-mpc" if out is None else out
    how = "go on with the same command; finished folds are kept"
    with work_that_goes_on(how), choose_mpc_observer() as observer:
        results = run_mpc_experiment(spec, directory, observer)
    print_mpc(results, directory)
