"""The real engine: it trains what the counterpart trains, and no party ever holds an image. `make test-mpc` runs
these.
"""

from __future__ import annotations

import io
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from privateyes.baselines.mpc.driver import Launcher, Trained, train_under_mpc
from privateyes.baselines.mpc.environment import ensure_environment
from privateyes.baselines.mpc.in_the_clear import OnFeatures, build_perceptron, train_in_the_clear
from privateyes.baselines.mpc.inside import frames
from privateyes.baselines.mpc.job import Network, Owner, Sgd, TrainingJob, plan_batches, protocol_for, public_part
from privateyes.tasks.gaze.models import build_model
from privateyes.training.vector import vector_from_model

pytestmark = [pytest.mark.mpc, pytest.mark.timeout(1200)]
UNIT = 2.0**-18


@pytest.fixture(scope="module")
def launcher() -> Launcher:
    """The locked environment, made if it is not there."""
    return Launcher(ensure_environment(print))


def owners_of(columns: int, counts: tuple[int, ...] = (11, 7)) -> tuple[Owner, ...]:
    generator = np.random.default_rng(8)
    return tuple(
        Owner(
            f"p{index:02d}",
            generator.random((count, columns), dtype=np.float32),
            generator.uniform(-0.3, 0.3, (count, 2)).astype(np.float32),
        )
        for index, count in enumerate(counts)
    )


def perceptron_job(
    protocol: str = "aby3", loss: str = "l2", ring_bits: int = 64
) -> tuple[TrainingJob, torch.nn.Module]:
    network, model = build_perceptron(20, [8], 2, seed=1)
    chosen, parties = protocol_for(protocol, None)
    job = TrainingJob(
        protocol=chosen.name,
        parties=parties,
        owners=owners_of(20),
        network=network,
        initial=vector_from_model(model),
        sgd=Sgd(0.05, 0.9, "l1" if loss == "l1" else "l2"),
        plan=plan_batches(18, 8, 4, seed=2),
        ring_bits=ring_bits,
        silence_s=300,
    )
    return job, model


def run(job: TrainingJob, launcher: Launcher, look: Callable[[int, int], None] = lambda *_: None) -> Trained:
    return train_under_mpc(job, launcher, look)


def test_what_we_say_of_semi2k_holds_for_the_locked_version(launcher: Launcher) -> None:
    """Its correlated randomness comes from party 0, unless somebody configures a dealer."""
    program = "import spu; print(spu.RuntimeConfig(spu.ProtocolKind.SEMI2K, spu.FieldType.FM64, 18).beaver_type)"
    command = [str(launcher.python), "-E", "-s", "-c", program]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.strip() == "BeaverType.TrustedFirstParty"


@pytest.mark.parametrize(
    ("protocol", "loss", "ring_bits", "allowed"),
    [
        ("aby3", "l2", 64, 100 * UNIT),
        ("aby3", "l1", 64, 100 * UNIT),
        ("aby3", "l2", 128, 2e-6),
        ("semi2k", "l2", 64, 100 * UNIT),
        ("cheetah", "l2", 64, 1000 * UNIT),  # truncates downwards, half a unit on average at every product
    ],
)
def test_training_under_mpc_reaches_the_parameters_of_its_counterpart(
    protocol: str, loss: str, ring_bits: int, allowed: float, launcher: Launcher
) -> None:
    job, model = perceptron_job(protocol, loss, ring_bits)
    trained, clear = run(job, launcher), train_in_the_clear(job, model)
    moved = np.abs(clear - job.initial).max()
    assert moved > 20 * min(allowed, 100 * UNIT)
    assert np.abs(trained.vector - clear).max() < allowed
    assert all(min(party.step_bytes) > 1000 and min(party.step_messages) > 3 for party in trained.parties)


@pytest.mark.parametrize(("name", "shape"), [("small_cnn", (9, 15)), ("lenet", (16, 18)), ("resnet_preact_8", (9, 15))])
def test_the_networks_under_mpc_are_the_ones_of_the_other_ways(
    name: str, shape: tuple[int, int], launcher: Launcher
) -> None:
    """One step of each: what moves under MPC moves as in torch. 128 bits, so that nothing hides in rounding."""
    model = build_model(name, shape, 1)
    shapes = tuple(tuple(parameter.shape) for parameter in model.parameters())
    job = replace(
        perceptron_job()[0],
        owners=owners_of(math.prod(shape) + 2, (3,)),
        network=Network(name, shapes, shape),
        initial=vector_from_model(model),
        plan=((2, 0), (1, 2)),
        ring_bits=128,
    )
    trained, clear = run(job, launcher), train_in_the_clear(job, OnFeatures(model, shape))
    moved = np.abs(clear - job.initial).max()
    # The engine's 1 / sqrt of a normalisation is an approximation.
    allowed = 0.02 if name == "resnet_preact_8" else 1e-4
    assert np.abs(trained.vector - clear).max() < allowed * moved
    position = 0
    for size in map(math.prod, shapes):
        assert np.abs(trained.vector - job.initial)[position : position + size].max() > 0  # every tensor has learned
        position += size


def found_in(process: Path, wanted: dict[str, bytes]) -> set[str]:
    """Which of these byte strings a process's memory holds."""
    found = set()
    with (process / "mem").open("rb", buffering=0) as memory:
        for line in (process / "maps").read_text().splitlines():
            addresses, access = line.split()[:2]
            start, end = (int(address, 16) for address in addresses.split("-"))
            try:
                memory.seek(start)
                content = memory.read(end - start) if "r" in access else b""
            except (OSError, OverflowError, ValueError):  # pages of the kernel's own
                continue
            found |= {name for name, row in wanted.items() if row in content}
    return found


def processes(role: str) -> list[Path]:
    """Our children of that role."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if role in command and str(os.getpid()) in command:
                found.append(entry)
    return found


def encodings(image: NDArray[np.float32]) -> dict[str, bytes]:
    """A row of pixels in every form in which a program could hold it in the clear."""
    fixed = np.trunc(image.astype(np.float64) / UNIT).astype(np.int64)
    return {"float32": image.tobytes(), "float64": image.astype(np.float64).tobytes(), "fixed point": fixed.tobytes()}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_party_ever_holds_an_image_in_its_memory(launcher: Launcher) -> None:
    """Every byte that a party can read, in the middle of training, against a row of each owner's pixels in the clear.

    The rows are searched for in this process, too, which holds them: a search that finds nothing would prove nothing.
    """
    job, _ = perceptron_job()
    rows = {
        f"{owner.name} as {form}": row
        for owner in job.owners
        for form, row in encodings(owner.features[1, :12]).items()
    }
    assert found_in(Path("/proc/self"), rows) == set(rows)
    looked = []

    def look(done: int, _: int) -> None:
        """In the middle of training, while all of them are held still."""
        if done != 3:
            return
        parties = processes("party")
        for party in parties:
            os.kill(int(party.name), signal.SIGSTOP)
        try:
            looked.extend(party.name for party in parties)
            assert [found_in(party, rows) for party in parties] == [set()] * 3
        finally:
            for party in parties:
                os.kill(int(party.name), signal.SIGCONT)

    run(job, launcher, look)
    assert len(looked) == 3


def shares_of(image: NDArray[np.float32], launcher: Launcher) -> list[frames.Share]:
    """What an owner's process hands to each of three parties, caught on the way."""
    job = perceptron_job()[0]
    pipes = [os.pipe() for _ in range(3)]
    order = io.BytesIO()
    frames.write_json(order, {**public_part(job), "arrays": 1})
    frames.write_json(order, {"name": "features0", "shape": list(image.shape)})
    frames.write_frame(order, image.tobytes())
    targets = [writing for _, writing in pipes]
    command = launcher.command("share", ",".join(map(str, targets)))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, pass_fds=targets) as owner:
        for writing in targets:
            os.close(writing)
        assert owner.stdin is not None
        owner.stdin.write(order.getvalue())
        owner.stdin.close()
        shares = []
        for reading, _ in pipes:
            with os.fdopen(reading, "rb") as pipe:
                shares.append(frames.read_share(pipe))
    assert owner.returncode == 0
    return shares


def summands(share: frames.Share, values: int) -> NDArray[np.uint64]:
    """The two of the three summands that a party of ABY3 holds, (values, 2): the end of its only chunk."""
    (chunk,) = share.chunks
    return np.frombuffer(chunk[-2 * 8 * values :], dtype=np.uint64).reshape(-1, 2)


def bytes_are_uniform(values: NDArray[np.uint64]) -> bool:
    """Chi-square over byte values at every place of a 64-bit word; 6 standard deviations, so chance never fails it."""
    for place in values.view(np.uint8).reshape(-1, 8).T:
        counts = np.bincount(place, minlength=256)
        expected = len(place) / 256
        statistic = float(np.sum((counts - expected) ** 2 / expected))
        if abs(statistic - 255) > 6 * math.sqrt(2 * 255):
            return False
    return True


def test_a_partys_share_says_nothing_about_the_image_and_all_together_give_it_back(launcher: Launcher) -> None:
    """Two very different images: a party's share of either is uniform, and no closer to one than to the other."""
    shape = (40, 512)
    dark, bright = np.zeros(shape, np.float32), np.full(shape, 0.75, np.float32)
    bright[:, ::2] = 0.25
    for image in (dark, bright):
        held = [summands(share, image.size) for share in shares_of(image, launcher)]
        for party in range(3):
            for part in held[party].T:
                assert bytes_are_uniform(np.ascontiguousarray(part))
            # Two summands of three: their sum is uniform as well, for it lacks the third.
            assert bytes_are_uniform(held[party][:, 0] + held[party][:, 1])
            assert np.array_equal(held[party][:, 1], held[(party + 1) % 3][:, 0])  # replicated, as ABY3 has it
        total = (held[0][:, 0] + held[1][:, 0] + held[2][:, 0]).view(np.int64)
        assert np.array_equal(total * UNIT, image.ravel().astype(np.float64))
    # The test can tell: the image itself is not uniform.
    assert not bytes_are_uniform(np.trunc(bright.ravel() / UNIT).astype(np.uint64))


def test_sharing_twice_gives_other_shares(launcher: Launcher) -> None:
    image = np.full((4, 64), 0.5, np.float32)
    first, second = (summands(shares_of(image, launcher)[0], image.size) for _ in range(2))
    assert not np.any(first == second)


def test_parties_listen_on_the_loopback_only(launcher: Launcher) -> None:
    heard: list[str] = []

    def look(*_: int) -> None:
        inodes = {
            os.readlink(entry).removeprefix("socket:[").removesuffix("]")
            for party in processes("party")
            for entry in (party / "fd").iterdir()
            if os.readlink(entry).startswith("socket:")
        }
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:  # listening
                heard.append(fields[1].split(":")[0])
        assert not any(
            line.split()[3] == "0A" and line.split()[9] in inodes
            for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]
        )

    job, _ = perceptron_job()
    run(replace(job, plan=job.plan[:2]), launcher, look)
    assert set(heard) == {"0100007F"}  # 127.0.0.1
