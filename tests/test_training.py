"""Trainings that are killed, run out of disk, or share their work: only real processes show it."""

import json
import os
import random
import signal
import socket
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

import adrec_nb.training as training
from adrec_nb.data import SequenceDataset

TINY = dict(dim=16, steps=4, batch_size=50, lr=0.01, max_epochs=10, validate_every=2, patience=9)

# A small training in a process of its own: `run` says where and how, `fate` what befalls it.
CHILD = """
import json, logging, os, random, resource, signal, sys, threading
import numpy as np
import torch
import adrec_nb.training as training
from adrec_nb.data import SequenceDataset
from adrec_nb.trainer import Trainer

run, fate = map(json.loads, sys.argv[1:])
if os.environ.get("DOUBLE"):
    torch.set_default_dtype(torch.float64)
rng = np.random.default_rng(0)
users, items, longest = run.pop("size", (200, 30, 20))
lengths, starts = rng.integers(5, longest, users), rng.integers(items, size=users)
walks = [(s + np.cumsum(rng.random(n) < 0.9)) % items + 1 for s, n in zip(starts, lengths)]
ring = SequenceDataset("ring", walks, ["(padding)", *map(str, range(items))])

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def dying_at(function, count):          # a function that kills the process at its count-th call
    def call(*args, **kwargs):
        call.left -= 1
        if call.left == 0 and fate.get("rank", 0) == int(os.environ.get("RANK", 0)): die()
        return function(*args, **kwargs)
    call.left = count
    return call

if "call" in fate:
    name, count = fate["call"]
    owner = Trainer if name == "run_epoch" else os
    setattr(owner, name, dying_at(getattr(owner, name), count))
if "seconds" in fate:
    threading.Timer(fate["seconds"], die).start()
if "bytes" in fate:                     # as on a full disk: no file may grow beyond this
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (fate["bytes"], fate["bytes"]))
print(training.train(ring, device="cpu", resume=True, **run).metrics, flush=True)
os._exit(0)                             # a timer that is still waiting must not keep the process
"""


def start(run, fate=None, **environment):
    "A training process; its output is one text."
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, json.dumps(run), json.dumps(fate or {})],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"} | environment,
    )


def finish(process, code=0):
    "Its output, once it has ended as it should."
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code, output
    return output


def outcome(folder):
    "What must not depend on interruptions: the history and the weights."
    return (folder / "metrics.jsonl").read_text(), load_file(folder / "best.safetensors")


def assert_same(one, other):
    assert one[0] == other[0]
    for name, weights in one[1].items():
        assert torch.equal(weights, other[1][name]), name


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    "A run that nothing befell."
    folder = tmp_path_factory.mktemp("whole") / "run"
    finish(start({"run_dir": str(folder), **TINY}))
    return folder


def test_kills_change_nothing(tmp_path):
    "Killed at random moments, also inside the writing of files, and resumed: all the same."
    rng, kills = random.Random(0), int(os.environ.get("ADREC_NB_KILLS", 3))
    settings = {**TINY, "max_epochs": 10 * kills, "patience": 10 * kills}  # time for all kills
    whole, folder = tmp_path / "whole", tmp_path / "run"
    finish(start({"run_dir": str(whole), **settings}))
    for i in range(kills):
        fate = {"seconds": rng.uniform(0.0, 0.3)}
        if i % 3 < 2:
            fate = {"call": [["fsync", "replace"][i % 3], rng.randint(1, 14)]}
        process = start({"run_dir": str(folder), **settings}, fate)
        process.communicate(timeout=300)
        assert process.returncode == -signal.SIGKILL, (i, fate)
    finish(start({"run_dir": str(folder), **settings}))
    assert_same(outcome(whole), outcome(folder))
    left = [path.name for path in folder.rglob("*") if path.name.endswith(".part")]
    assert left == []  # what kills inside the writing of files had left behind


LARGE = {"size": (600, 1000, 60), "preset": "quick", "seed": 3, "dim": 64, "batch_size": 128}
LARGE |= {"max_epochs": 6, "align_epochs": 2, "validate_every": 3}
FILES = ("stage1.safetensors", "best.safetensors", "metrics.jsonl")


def test_same_bytes_with_several_threads(tmp_path):
    """Two trainings with one seed on a log large enough for the parallel kernels, the second of
    them killed in every stage and resumed: the same files, byte for byte."""
    threads = {"OMP_NUM_THREADS": "2"}
    one, other = ({"run_dir": str(tmp_path / name), **LARGE} for name in ("one", "other"))
    finish(start(one, **threads))
    for count in (4, 5, 3):  # epochs since the last resume: in stage 1, in stage 2, in stage 3
        process = start(other, {"call": ["run_epoch", count]}, **threads)
        process.communicate(timeout=300)
        assert process.returncode == -signal.SIGKILL
    finish(start(other, **threads))
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_full_disk_keeps_the_state_before(whole, tmp_path):
    "No room for a checkpoint: one clear line; once there is room, the run goes on from the last."
    folder = tmp_path / "run"
    process = start({"run_dir": str(folder), **TINY}, {"call": ["run_epoch", 7]})
    process.communicate(timeout=300)
    assert (folder / "last" / "state").exists()
    size = (folder / "last" / "state").stat().st_size
    output = finish(start({"run_dir": str(folder), **TINY}, {"bytes": size // 2}), code=1)
    assert "cannot be written (File too large)" in output and "Make room" in output
    finish(start({"run_dir": str(folder), **TINY}))
    assert_same(outcome(whole), outcome(folder))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


def two_ranks(run, fate=None, **environment):
    "Two processes that train together."
    port = free_port()
    return [
        start(
            run,
            fate,
            RANK=str(rank),
            WORLD_SIZE="2",
            LOCAL_RANK=str(rank),
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
            **environment,
        )
        for rank in (0, 1)
    ]


def losses(folder):
    "The losses of every validation (not the metrics: rounding may swap two items of a ranking)."
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return torch.tensor(
        [[row["loss"], row["ce"], row.get("mse", 0.0)] for row in rows], dtype=torch.float64
    )


def test_two_processes_equal_one(tmp_path):
    """Same global batches, same losses to 1e-5: without dropout, whose masks each process draws for
    itself, and in double precision, since Adam blows up the rounding of tiny gradients."""
    settings = {**TINY, "dropout": 0.0, "emb_dropout": 0.0, "noise_weight": 0.5}
    finish(start({"run_dir": str(tmp_path / "one"), **settings}, DOUBLE="1"))
    for process in two_ranks({"run_dir": str(tmp_path / "two"), **settings}, DOUBLE="1"):
        process.communicate(timeout=300)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == 11
    torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-5)


def test_launched_by_accelerate(tmp_path):
    "The documented command: two CPU processes, one run directory, one writer."
    pytest.importorskip("accelerate")
    table = tmp_path / "events.tsv"
    rows = [
        f"{user}\t{(start_ + step) % 20}\t5\t{step}"
        for user, start_ in enumerate(range(60))
        for step in range(8)
    ]
    table.write_text("user\titem\trating\ttimestamp\n" + "\n".join(rows) + "\n")
    settings = [f"{name}={value}" for name, value in {**TINY, "max_epochs": 2}.items()]
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
        "--main_process_port",
        free_port(),
        "--tee",  # says who says what
        "3",
        "-m",
        "adrec_nb.cli",
        "train",
        str(table),
        "--out",
        str(tmp_path / "run"),
        "--device",
        "cpu",
        "--set",
        *settings,
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[default0]:" in done.stderr and "[default1]:" in done.stderr
    assert (tmp_path / "run" / "results.json").exists()
    assert not [path for path in (tmp_path / "run").rglob(".*")]


def test_launched_from_a_notebook(tmp_path):
    "`notebook_launcher` of accelerate asks for GPUs; its twin for CPUs sets the same environment."
    pytest.importorskip("accelerate")
    code = (
        CHILD[: CHILD.index("def die")]
        + """
from accelerate import debug_launcher
debug_launcher(lambda: training.train(ring, **run), num_processes=2)
"""
    )
    run = tmp_path / "run"
    command = [sys.executable, "-c", code, json.dumps({"run_dir": str(run), **TINY}), "{}"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (run / "results.json").exists()
    assert not [path for path in run.rglob(".*")]


def test_a_lost_process_stops_the_others(tmp_path):
    "The survivor says so, in time, and what was saved can be resumed."
    processes = two_ranks(
        {"run_dir": str(tmp_path / "run"), **TINY}, {"call": ["run_epoch", 7], "rank": 1}
    )
    output, _ = processes[0].communicate(timeout=60)
    assert processes[0].returncode != 0 and "another process of this training stopped" in output
    assert processes[1].wait(60) == -signal.SIGKILL
    finish(start({"run_dir": str(tmp_path / "run"), **TINY}))


def test_every_end_parts_from_the_others(monkeypatch, tmp_path):
    "Stopped by the caller, trained to the end, or found finished: the group of processes ends."

    class Watched(training.World):
        left = 0

        def __exit__(self, *error):
            Watched.left += 1
            super().__exit__(*error)

    monkeypatch.setattr(training, "World", Watched)
    walks = [[(start + step) % 20 + 1 for step in range(8)] for start in range(60)]
    ring = SequenceDataset("ring", walks, ["(padding)", *map(str, range(20))])
    settings = {**TINY, "max_epochs": 1, "pretrain_epochs": 0, "run_dir": tmp_path, "resume": True}
    for times, stop in ((1, lambda row: False), (2, None), (3, None)):
        run = training.train(ring, device="cpu", on_validation=stop, **settings)
        assert Watched.left == times and run.finished == (times > 1)
