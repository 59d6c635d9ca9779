"""One training on two machines: what happens when one is gone, and that both come to the same."""

import json
import os
import subprocess
import sys
import time

import pytest
import torch
from machines import ADDRESSES, CABLE, lacks_machines, pull_cable, switch_off, two_machines
from safetensors.torch import load_file

pytest.importorskip("accelerate")
if lacks_machines():
    pytest.skip("no network namespaces", allow_module_level=True)

ROWS = [
    f"{user}\t{(7 * user + (1 + user % 3) * step) % 40}\t5\t{step}"
    for user in range(300)
    for step in range(9)
]
TINY = "dim=16 steps=4 batch_size=50 lr=0.01 max_epochs=12 validate_every=2 patience=99 "
TINY += "dropout=0 emb_dropout=0 noise_weight=0.5"  # each process draws its dropout for itself
TRAIN = ["train", "events.tsv", "--out", "run", "--device", "cpu"]
WAIT = 12  # seconds without an answer, until a machine is taken for lost
DEADLINE = 120  # seconds, for anything on a busy machine


def folder_with_log(folder):
    "A machine's own disk: nothing but its copy of the log."
    folder.mkdir()
    text = "\n".join(["user\titem\trating\ttimestamp", *ROWS])
    (folder / "events.tsv").write_text(text + "\n")
    return folder


def start(folder, before, more=()):
    "The training, in a process that writes into the file `log`."
    environment = {"OMP_NUM_THREADS": "1", "ADREC_NB_WAIT": str(WAIT), "TQDM_DISABLE": "1"}
    environment |= {"GLOO_SOCKET_IFNAME": CABLE}
    words = ["-m", "adrec_nb.cli", *TRAIN, *more, "--set", *TINY.split()]
    with open(folder / "log", "w") as log:
        return subprocess.Popen(
            [*before, *words], cwd=folder, stdout=log, stderr=log, env=os.environ | environment
        )


def start_both(machines, folders, more=()):
    "The documented command on each of the two."
    shared = "--multi_gpu --num_machines 2 --num_processes 2 --mixed_precision no "
    shared += f"--dynamo_backend no --main_process_ip {ADDRESSES[0]} --main_process_port 29500"
    launch = [sys.executable, "-m", "accelerate.commands.launch", *shared.split()]
    return [
        start(folder, ["ip", "netns", "exec", name, *launch, "--machine_rank", str(rank)], more)
        for rank, (name, folder) in enumerate(zip(machines, folders, strict=True))
    ]


def finish(process, folder):
    "Its exit code and all it said, once it has ended."
    return process.wait(DEADLINE), (folder / "log").read_text()


def outcome(folder):
    "The losses of every validation, and the weights at the end."
    rows = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
    losses = [[row["loss"], row["ce"], row.get("mse", 0.0)] for row in rows]
    state = load_file(folder / "run/best.safetensors")
    return torch.tensor(losses), torch.cat([part.flatten() for part in state.values()])


def assert_close(found, expected):
    "Losses to 1e-5; weights less closely, since Adam blows up the rounding of tiny gradients."
    torch.testing.assert_close(found[0], expected[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[1], expected[1], rtol=0, atol=2e-3)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    "What one process comes to."
    folder = folder_with_log(tmp_path_factory.mktemp("alone") / "disk")
    code, said = finish(start(folder, [sys.executable]), folder)
    assert code == 0, said
    return outcome(folder)


@pytest.fixture
def machines():
    "Their names."
    with two_machines() as names:
        yield names


@pytest.fixture
def folders(tmp_path):
    "The disk of each."
    return [folder_with_log(tmp_path / name) for name in ("first", "second")]


def until_saved(process, folder):
    "Wait for the first state of the training."
    deadline = time.monotonic() + DEADLINE
    while not (folder / "run/last/state").exists():
        assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.02)


def assert_told(process, folder):
    "The first machine ends soon, with one line that says what to do, and keeps its state."
    code, said = finish(process, folder)  # in time: without a limit it would wait for half an hour
    lines = [line for line in said.splitlines() if line.startswith("adrec-nb: ")]
    assert code != 0 and len(lines) == 1, said
    assert "another process of this training stopped" in lines[0] and "--resume" in lines[0]
    assert "exitcode  : 3" in said  # the launcher's own exit code is 1
    assert (folder / "run/last/state").exists()
    assert not (folder / "run/results.json").exists()


def test_a_machine_is_switched_off(machines, folders, alone):
    """The other says so at once. When the machine is back, both go on, and come to what one comes
    to; without a common file system: the first machine has the run, and all of it."""
    processes = start_both(machines, folders)
    until_saved(processes[0], folders[0])
    switch_off(machines[1])
    assert_told(processes[0], folders[0])
    assert processes[1].wait(DEADLINE) != 0
    processes = start_both(machines, folders, ["--resume"])
    for process, folder in zip(processes, folders, strict=True):
        code, said = finish(process, folder)
        assert code == 0, said
    assert_close(outcome(folders[0]), alone)
    assert (folders[0] / "run/results.json").exists()
    assert sorted(path.name for path in folders[1].iterdir()) == ["events.tsv", "log"]


def test_a_cable_is_pulled(machines, folders, alone):
    "Both say so, when they have waited long enough; the first can go on alone."
    processes = start_both(machines, folders)
    until_saved(processes[0], folders[0])
    pull_cable(machines[1])
    assert_told(processes[0], folders[0])
    code, said = finish(processes[1], folders[1])
    assert code != 0 and "another process of this training stopped" in said
    code, said = finish(start(folders[0], [sys.executable], ["--resume"]), folders[0])
    assert code == 0, said
    assert_close(outcome(folders[0]), alone)
