"""The command line as people and programs meet it.

Real processes, their exit codes, streams, signals and pipes."""

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
TRAIN = [
    "train",
    "log.csv",
    "--out",
    "runs/ring",
    "--set",
    "dim=16",
    "batch_size=40",
    "lr=0.01",
    "max_epochs=30",
    "align_epochs=2",
    "validate_every=1",
    "patience=1000",
]
DEADLINE = 120  # seconds, for one process on a busy machine


def start(words, folder, **streams):
    "A process of the command line; both streams are pipes unless given."
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    command = [sys.executable, "-m", "adrec_nb.cli", *words]
    return subprocess.Popen(
        command, cwd=folder, env=ENV, text=True, stdin=subprocess.DEVNULL, **streams
    )


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


HEAVY = {"torch", "numpy", "pandas", "matplotlib", "tqdm", "pooch"}


def help_of(*words):
    "A help text, and the packages that were imported for it."
    command = [sys.executable, "-X", "importtime", "-m", "adrec_nb.cli", *words, "--help"]
    done = subprocess.run(command, env=ENV, capture_output=True, text=True, check=True)
    return done.stdout, set(re.findall(r"\| +(\w+)", done.stderr))


def test_help_waits_for_no_library():
    "Nothing but Python's own modules is imported for the help: it is there at once."
    text, imported = help_of()
    assert imported & HEAVY == set() and "argparse" in imported
    assert all(f"\n    {name} " in text or f"\n    {name}\n" in text for name in COMMANDS)


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"train"}))
def test_help_of_a_command(command):
    "Nor for the help of a command."
    text, imported = help_of(command)
    assert imported & HEAVY == set() and text.startswith(f"usage: adrec-nb {command}")


def test_help_of_train():
    "But for that of `train`, which lists the models that there are."
    from adrec_nb.runs import RECIPES

    text, _ = help_of("train")
    assert f"what to train: {', '.join(RECIPES)}" in " ".join(text.split())


def test_children_can_be_interrupted():
    "Whatever these tests start takes Ctrl-C as usual, also where they run in the background."
    code = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "True\n"


def test_tests_in_the_background():
    "The same, asked of a session that was started with Ctrl-C ignored, as by `nohup`."
    one = f"{__file__}::test_children_can_be_interrupted"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", one]
    code = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    code += "os.execv(sys.argv[1], sys.argv[1:])"
    in_background = [sys.executable, "-c", code, *command]
    done = subprocess.run(in_background, cwd=ROOT, env=ENV, capture_output=True, text=True)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def test_command_that_pip_installs():
    "The entry point of pyproject.toml, called as pip's script calls it."
    module, function = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"][
        "adrec-nb"
    ].split(":")
    script = f"import sys; from {module} import {function}; sys.exit({function}())"
    done = subprocess.run(
        [sys.executable, "-c", script, "--version"], env=ENV, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        f"adrec-nb {adrec_nb.__version__}\n",
        "",
    )


# ---- bad input: exit code 2, one line, nothing else ----

FILES = {
    "empty.csv": "",
    "header.csv": "user,item,rating,timestamp\n",
    "word.csv": "user,item,rating,timestamp\na,b,5,1\na,c,five,2\n",
    "few.csv": "user,item,rating,timestamp\na,b,5,1\n",
    "two.csv": "uid,user,item,timestamp\na,b,c,1\n",
}
BAD = [
    ("", "COMMAND"),
    ("data", "--file"),
    ("data --file log.csv --seed", "--seed"),
    ("train log.csv", "--out"),
    ("train log.csv --out x --seed -1", "'-1'"),
    ("recommend runs/ring --history 1 -k 0", "-k"),
    ("train ml-1m --out x", "ml-100k"),
    ("data --file missing.csv", "missing.csv"),
    ("data --file .", ".: "),
    ("data --file empty.csv", "empty.csv"),
    ("data --file header.csv", "header.csv"),
    ("data --file word.csv", "word.csv, line 3, column 'rating'"),
    ("data --file few.csv", "few.csv"),
    ("data --file two.csv", "--read"),
    ("data --file log.csv --read k_core=five", "k_core=five"),
    ("collapse runs/ring --plot figure.gif", ".png"),
]


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
    process = subprocess.run(
        [sys.executable, "-m", "adrec_nb.cli", "data", "--file", "é.csv"],
        cwd=folder,
        env=ENV | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
    )
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
    "Interrupt a training after its next validation; the command that its last line gives."
    before = len(epochs(folder))
    process = start(words, folder)
    try:
        state = folder / "runs/ring/last/state"
        wait_for(lambda: state.exists() and len(epochs(folder)) > before, process)
    finally:
        process.send_signal(how)
    code, out, err = finish(process)
    assert (code, out) == (130, "")
    kept = "adrec-nb: interrupted; runs/ring keeps the last good state. Go on with: "
    assert err.startswith(kept) and err.count("\n") == 1
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
    "What `train --json` printed and showed on its terminal, at the end of all interruptions."
    program, *words = interrupt(TRAIN, signal.SIGINT, folder)
    assert program == "adrec-nb" and words == [*TRAIN, "--resume"]
    assert interrupt(words, signal.SIGTERM, folder) == ["adrec-nb", *words]
    terminal = Terminal()
    code, out, _ = finish(start([*words, "--json"], folder, stderr=terminal.theirs))
    shown = terminal.close()
    assert code == 0, shown
    return json.loads(out), shown


def test_interrupted_training_goes_on(trained, folder):
    "Ctrl-C, SIGTERM, then the end: each epoch was done once; a bar was on the terminal alone."
    facts, shown = trained
    assert epochs(folder) == [(model, epoch) for model in (1, 2) for epoch in range(1, 31)]
    assert "stage 3 of 3" in shown
    assert set(facts["test"]) == {"stage1", "adrec"}
    assert facts["test"]["adrec"]["HR@5"]["value"] > 0.8  # chance: 5 / 20


def test_trained_run(trained, folder):
    "evaluate, recommend and collapse open it, all as JSON, with nothing on standard error."
    history = ["--history", "item-03,item-04,item-05"]
    commands = [
        ["evaluate", "runs/ring"],
        ["recommend", "runs/ring", *history, "-k", "3"],
        ["collapse", "runs/ring", "--plot", "spectra.pdf"],
    ]
    processes = [start([*words, "--json"], folder) for words in commands]
    results = [finish(process) for process in processes]
    assert [(code, err) for code, _, err in results] == [(0, "")] * 3
    evaluated, recommended, collapsed = (json.loads(out) for _, out, _ in results)
    assert evaluated["metrics"] == trained[0]["test"]["adrec"]
    best = recommended["recommendations"]
    assert best[0]["name"] == "item-06" and len(best) == 3
    tables = [one["table"] for one in collapsed["tables"]]
    assert tables == ["runs/ring, stage1", "runs/ring, adrec"]
    assert (folder / "spectra.pdf").read_bytes().startswith(b"%PDF")


def test_wrong_use_of_a_run(trained, folder):
    "An unknown item, and other data than the run's: one line each, exit code 2."
    log = (folder / "log.csv").read_text()
    (folder / "other.csv").write_text(log.replace("item-07", "item-08"))
    cases = {
        "recommend runs/ring --history item-03,item-99": "'item-99'",
        "evaluate runs/ring --data other.csv": "other.csv",
    }
    processes = [start(line.split(), folder) for line in cases]
    for process, (line, named) in zip(processes, cases.items(), strict=True):
        code, out, err = finish(process)
        assert (code, out, err.count("\n")) == (2, "", 1) and named in err, (line, err)


# ---- other models, other stages ----

SMALL = ["--set", "dim=16", "batch_size=40", "lr=0.01", "max_epochs=6", "validate_every=3"]
OTHERS = {
    "sasrec": ["--model", "sasrec", *SMALL],
    "bare": [*SMALL, "pretrain_epochs=0"],
    "heavy": [*SMALL, "mse_weight=4", "pretrain_epochs=2"],
}


@pytest.mark.parametrize("name", OTHERS)
def test_every_kind_of_run(name, folder):
    "Trained, evaluated, asked, measured and reported by the same commands."
    out = f"runs/{name}"
    code, shown, err = run(["train", "log.csv", "--out", out, *OTHERS[name], "--json"], folder)
    assert code == 0, err
    models = list(json.loads(shown)["test"])
    assert models == {"sasrec": ["sasrec"], "bare": ["adrec"]}.get(name, ["stage1", "adrec"])
    lines = [
        f"evaluate {out}",
        f"recommend {out} --history item-03 -k 2",
        f"collapse {out} --plot {name}.png",
        f"report {out} -o {name}.html",
        f"page {out} -o {name}-explorers.html",
    ]
    processes = [start([*line.split(), "--json"], folder) for line in lines]
    for line, process in zip(lines, processes, strict=True):
        code, shown, err = finish(process)
        assert (code, err) == (0, ""), (line, err)
        json.loads(shown)


def test_steps_of_a_model_without(folder):
    "SASRec does not denoise, and the line says so."
    code, out, err = run(["evaluate", "runs/sasrec", "--steps", "2"], folder)
    assert (code, out) == (2, "") and "does not denoise" in err


def test_settings_of_another_model(folder):
    "SASRec has no diffusion steps to set; an unknown model is named with those that exist."
    lines = {"--model sasrec --set steps=4": "'steps'", "--model svd": "sasrec"}
    for words, named in lines.items():
        code, out, err = run(["train", "log.csv", "--out", "x", *words.split()], folder)
        assert (code, out, err.count("\n")) == (2, "", 1) and named in err


# ---- whose fault is it? ----


def test_bugs_keep_their_traceback(folder):
    "A ValueError that numpy raises, or int(), is none of the user's, wherever it passes through."
    code = """
import sys
import adrec_nb.cli as cli
import adrec_nb.cli_data as data

def broken(args):
    exec(sys.argv[1], {"__package__": "adrec_nb"})

cli.COMMANDS["data"] = (broken, data.data_arguments, "common")
sys.exit(cli.main(["data", "--list"]))
"""
    lines = {
        "raise ValueError('lr=-1: give more')": 2,
        "int('x')": 1,
        "import numpy; numpy.zeros(3).reshape(2)": 1,
        "None.x": 1,
        "{}['x']": 1,
    }
    for line, expected in lines.items():
        command = [sys.executable, "-c", code, line]
        done = subprocess.run(command, cwd=folder, env=ENV, capture_output=True, text=True)
        assert done.returncode == expected, (line, done.stderr)
        assert ("Traceback" in done.stderr) == (expected == 1), (line, done.stderr)
