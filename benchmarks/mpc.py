"""Generic MPC on the images: errors against the counterpart in the clear, and cost, by protocol and by network.

    export PRIVATEYES_DATA=/folder/of/the/data
    python benchmarks/mpc.py --json benchmarks/results/mpc.json

The first run makes the locked environment (docs/mpc.md). It may be stopped: finished trainings are kept in --folder.
`--only NAME` runs one of them. All parties share this machine and its loopback: no latency, no limit to bandwidth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from measuring import machine, write_json
from privateyes.cli.mpc_tables import choose_mpc_observer, print_mpc
from privateyes.experiments.mpc.experiment import run_mpc_experiment
from privateyes.experiments.spec import parse_spec

_CROPS = """
[data]
path = "${PRIVATEYES_DATA}/mpiigaze/MPIIGaze_crop9x15_p00-p09.h5"
image_limit = 1500
[split]
leave_one_out = true
FOLDS
[model]
name = "small_cnn"
[training]
rounds = 15
batch_size = 32
"""
_RENDERED = """
[data.synthetic]
persons = 5
images_per_person = 200
[split]
test_persons = ["r03", "r04"]
[model]
name = "MODEL"
[training]
rounds = 15
batch_size = 32
"""
_FEW = "[mpc]\nepochs = 1\nsamples_per_person = 50\n"
_ONE = 'folds = ["p00"]'
# Name -> the experiment. The first is what `docs/mpc.md` compares with the clear; the others ask what something costs.
SITUATIONS = {
    "crops": _CROPS.replace("FOLDS", "") + "[mpc]\n",
    "crops-l1": _CROPS.replace("FOLDS", _ONE) + '[mpc]\nloss = "l1"\nprobe_batches = []\n',
    "crops-l1-128": _CROPS.replace("FOLDS", _ONE) + '[mpc]\nloss = "l1"\nring_bits = 128\nprobe_batches = []\n',
    "crops-128": _CROPS.replace("FOLDS", _ONE) + "[mpc]\nring_bits = 128\nprobe_batches = []\n",
    "crops-semi2k": _CROPS.replace("FOLDS", _ONE) + '[mpc]\nprotocol = "semi2k"\n',
    "crops-cheetah": _CROPS.replace("FOLDS", _ONE) + '[mpc]\nprotocol = "cheetah"\nprobe_batches = []\n',
    "crops-small-cnn": _CROPS.replace("FOLDS", _ONE)
    + '[mpc]\nnetwork = "model"\nepochs = 1\nsamples_per_person = 20\n',
    "eyes-lenet": _RENDERED.replace("MODEL", "lenet") + _FEW,
    "eyes-resnet-preact-8": _RENDERED.replace("MODEL", "resnet_preact_8") + _FEW,
}


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--folder", type=Path, default=Path("build/bench/mpc"), help="where trainings are kept")
    parser.add_argument("--only", choices=SITUATIONS, help="run this one alone")
    arguments = parser.parse_args()
    rows, where = {}, machine()
    for name in SITUATIONS if arguments.only is None else [arguments.only]:
        spec = parse_spec(f'name = "{name}"\n{SITUATIONS[name]}', name, Path())
        with choose_mpc_observer() as observer:
            results = run_mpc_experiment(spec, arguments.folder / name, observer)
        print_mpc(results, arguments.folder / name)
        rows[name] = [result.as_json() for result in results]
    if arguments.json is not None:
        write_json(arguments.json, {"machine": where, "situations": rows})


if __name__ == "__main__":
    main()
