"The command line as people and programs meet it: real processes, their exit codes, streams, signals and pipes."

import json
import os
import pty
import random
import re
import shlex
import signal
import subprocess
import sys
import termios
import threading
import time
import tomllib
from pathlib import Path

import pytest

import adrec_nb
from adrec_nb.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
ENV = {name: value for name, value in os.environ.items() if not name.startswith("TQDM_")}
ENV |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
TRAIN = ["train", "log.csv", "--out", "runs/ring", "--set", "dim=16", "steps=4", "batch_size=40", "lr=0.01", "max_epochs=30",
         "align_epochs=2", "validate_every=1", "patience=1000"]
DEADLINE = 120  # seconds, for one process on a busy machine


def start(words, folder, **streams):
    "A process of the command line; both streams are pipes unless given."
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    command = [sys.executable, "-m", "adrec_nb.cli", *words]
    return subprocess.Popen(command, cwd=folder, env=ENV, text=True, stdin=subprocess.DEVNULL, **streams)


def finish(process):
    "Its exit code, standard output and standard error; it never outlives the test."
    try:
        out, err = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
    return process.returncode, out, err


def run(words, folder):
    "One command from start to end."
    return finish(start(words, folder))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "A folder with a log of forty people who walk along a ring of twenty items."
    folder, draw = tmp_path_factory.mktemp("cli"), random.Random(0)
    lines = ["user_id,item_id,rating,timestamp"]
    for user in range(40):
        first, length = draw.randrange(20), draw.randrange(8, 16)
        lines += [f"u{user},item-{(first + step) % 20:02},5,{step}" for step in range(length)]
    (folder / "log.csv").write_text("\n".join(lines) + "\n")
    return folder


# ---- quick to start ----


def test_help_waits_for_no_library(folder):
    "Nothing but Python's own modules is imported for the help: it is there at once."
    done = subprocess.run([sys.executable, "-X", "importtime", "-m", "adrec_nb.cli", "--help"],
                          cwd=folder, env=ENV, capture_output=True, text=True, check=True)
    imported = set(re.findall(r"\| +(\w+)", done.stderr))
    assert imported & {"torch", "numpy", "pandas", "matplotlib", "tqdm", "pooch"} == set() and "argparse" in imported
    assert all(f"\n    {name} " in done.stdout or f"\n    {name}\n" in done.stdout for name in COMMANDS)


def test_command_that_pip_installs():
    "The entry point of pyproject.toml, called as pip's script calls it."
    module, function = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["adrec-nb"].split(":")
    script = f"import sys; from {module} import {function}; sys.exit({function}())"
    done = subprocess.run([sys.executable, "-c", script, "--version"], env=ENV, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"adrec-nb {adrec_nb.__version__}\n", "")


# ---- bad input: exit code 2, one line, nothing else ----

FILES = {"empty.csv": "", "header.csv": "user,item,rating,timestamp\n", "word.csv": "user,item,rating,timestamp\na,b,5,1\na,c,five,2\n",
         "few.csv": "user,item,rating,timestamp\na,b,5,1\n", "two.csv": "uid,user,item,timestamp\na,b,c,1\n"}
BAD = [("", "COMMAND"), ("data", "--file"), ("data --file log.csv --seed", "--seed"), ("train log.csv", "--out"),
       ("train log.csv --out x --seed -1", "'-1'"), ("recommend runs/ring --history 1 -k 0", "-k"),
       ("train ml-1m --out x", "ml-100k"), ("data --file missing.csv", "missing.csv"), ("data --file .", ".: "),
       ("data --file empty.csv", "empty.csv"), ("data --file header.csv", "header.csv"),
       ("data --file word.csv", "word.csv, line 3, column 'rating'"), ("data --file few.csv", "few.csv"),
       ("data --file two.csv", "--read"), ("data --file log.csv --read k_core=five", "k_core=five"),
       ("collapse runs/ring --plot figure.gif", ".png")]


@pytest.mark.parametrize("line, named", BAD, ids=[line or "(nothing)" for line, _ in BAD])
def test_bad_input(line, named, folder):
    "The line names what is wrong, standard output stays empty, and no run directory appears."
    for name, text in FILES.items():
        (folder / name).write_text(text)
    code, out, err = run(line.split(), folder)
    assert (code, out) == (2, ""), err
    assert err.startswith("adrec-nb: ") and err.count("\n") == 1 and named in err
    assert not (folder / "x").exists()


# ---- streams ----


def test_data_as_json(folder):
    "Exactly one object on standard output, nothing on standard error."
    code, out, err = run(["data", "--file", "log.csv", "--json"], folder)
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert (facts["users"], facts["items"], facts["min_rating"], facts["k_core"]) == (40, 20, 3, 5)


def test_reader_that_leaves(folder):
    "A pipe that is closed before anything was read is no error."
    reader, writer = os.pipe()
    os.close(reader)
    process = start(["data", "--list"], folder, stdout=writer)
    os.close(writer)
    assert finish(process) == (0, None, "")


def test_letters_the_terminal_cannot_show(folder):
    "They become question marks."
    (folder / "é.csv").write_bytes((folder / "log.csv").read_bytes())
    process = subprocess.run([sys.executable, "-m", "adrec_nb.cli", "data", "--file", "é.csv"], cwd=folder,
                             env=ENV | {"PYTHONIOENCODING": "ascii"}, capture_output=True)
    assert (process.returncode, process.stderr) == (0, b"")
    assert process.stdout.startswith(b"SequenceDataset ?.csv\n")


# ---- a training, interrupted twice and carried to its end; then what one does with a run ----


def wait_for(condition, process):
    "Until the condition holds; fails if the process ends first or the deadline passes."
    end = time.monotonic() + DEADLINE
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)


def epochs(folder):
    "(model, epoch) of every validation so far."
    path = folder / "runs/ring/metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [(min(row["stage"], 2), row["epoch"]) for row in rows]


def interrupt(words, how, folder):
    "Start a training, interrupt it after its next validation, and return the command that its last line gives."
    before = len(epochs(folder))
    process = start(words, folder)
    try:
        state = folder / "runs/ring/last/state"
        wait_for(lambda: state.exists() and len(epochs(folder)) > before, process)
    finally:
        process.send_signal(how)
    code, out, err = finish(process)
    assert (code, out) == (130, "")
    assert err.startswith("adrec-nb: interrupted; runs/ring keeps the last good state. Go on with: ") and err.count("\n") == 1
    assert not (folder / "runs/ring/results.json").exists()
    return shlex.split(err.split("Go on with: ")[1])


class Terminal:
    "The far end of a terminal: collects what a process shows there."

    def __init__(self):
        self.ours, self.theirs = pty.openpty()
        termios.tcsetwinsize(self.theirs, (24, 100))
        self.shown = b""
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        "Until the other end is closed, which some systems report as an error."
        try:
            while piece := os.read(self.ours, 4096):
                self.shown += piece
        except OSError:
            pass

    def close(self):
        "What was shown, once the process is gone."
        os.close(self.theirs)
        self.thread.join(DEADLINE)
        os.close(self.ours)
        return self.shown.decode()


@pytest.fixture(scope="module")
def trained(folder):
    "What `train --json` printed, and what it showed on its terminal, at the end of all interruptions."
    program, *words = interrupt(TRAIN, signal.SIGINT, folder)
    assert program == "adrec-nb" and words == [*TRAIN, "--resume"]
    assert interrupt(words, signal.SIGTERM, folder) == ["adrec-nb", *words]
    terminal = Terminal()
    code, out, _ = finish(start([*words, "--json"], folder, stderr=terminal.theirs))
    shown = terminal.close()
    assert code == 0, shown
    return json.loads(out), shown


def test_interrupted_training_goes_on(trained, folder):
    "Ctrl-C, then SIGTERM, then the end: each epoch was done once, and a bar was shown on the terminal alone."
    facts, shown = trained
    assert epochs(folder) == [(model, epoch) for model in (1, 2) for epoch in range(1, 31)]
    assert "stage 3 of 3" in shown
    assert set(facts["test"]) == {"stage1", "adrec"} and facts["test"]["adrec"]["HR@5"]["value"] > 0.8  # chance: 5 / 20


def test_trained_run(trained, folder):
    "evaluate, recommend and collapse open it, all as JSON, with nothing on standard error."
    history = ["--history", "item-03,item-04,item-05"]
    commands = [["evaluate", "runs/ring"], ["recommend", "runs/ring", *history, "-k", "3"],
                ["collapse", "runs/ring", "--plot", "spectra.pdf"]]
    processes = [start([*words, "--json"], folder) for words in commands]
    results = [finish(process) for process in processes]
    assert [(code, err) for code, _, err in results] == [(0, "")] * 3
    evaluated, recommended, collapsed = (json.loads(out) for _, out, _ in results)
    assert evaluated["metrics"] == trained[0]["test"]["adrec"]
    assert recommended["recommendations"][0]["name"] == "item-06" and len(recommended["recommendations"]) == 3
    assert [one["table"] for one in collapsed["tables"]] == ["runs/ring, stage 1", "runs/ring, final"]
    assert (folder / "spectra.pdf").read_bytes().startswith(b"%PDF")


def test_wrong_use_of_a_run(trained, folder):
    "An unknown item, and other data than the run's: one line each, exit code 2."
    (folder / "other.csv").write_text((folder / "log.csv").read_text().replace("item-07", "item-08"))
    cases = {"recommend runs/ring --history item-03,item-99": "'item-99'", "evaluate runs/ring --data other.csv": "other.csv"}
    processes = [start(line.split(), folder) for line in cases]
    for process, (line, named) in zip(processes, cases.items()):
        code, out, err = finish(process)
        assert (code, out, err.count("\n")) == (2, "", 1) and named in err, (line, err)
