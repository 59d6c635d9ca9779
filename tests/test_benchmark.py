"""A benchmark as machines meet it: shared by processes, interrupted, killed, and gone on with.

And the README, whose tables of results are what the command makes of the files in nbs/labs."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from filelock import FileLock, Timeout

from adrec_nb.benchmark import Entry, run_grid
from adrec_nb.benchmark_cell import Job, do_job, read_costs
from adrec_nb.locate import find_data
from adrec_nb.result_files import load_results
from adrec_nb.results import benchmark_table, find_block, readme_results
from adrec_nb.runs import load_run
from adrec_nb.synthetic import PlantedWorld, make_log

ROOT = Path(__file__).resolve().parents[1]
ENV = {name: value for name, value in os.environ.items() if not name.startswith("TQDM_")}
ENV |= {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]), "OMP_NUM_THREADS": "1"}
DEADLINE = 120  # seconds, for one process on a busy machine
SMALL = {"dim": 16, "batch_size": 40, "lr": 0.01, "max_epochs": 3, "validate_every": 1}
LONG = {**SMALL, "steps": 4, "max_epochs": 25, "align_epochs": 2, "patience": 1000}


def start(command, folder):
    "A process; both streams are pipes."
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, *command], cwd=folder, env=ENV, text=True, **pipes)


def finish(process):
    "Its exit code, standard output and standard error; it never outlives the test."
    try:
        out, err = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
    return process.returncode, out, err


def wait_for(condition, *processes):
    "Wait until it holds, while the processes are alive."
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        assert all(process.poll() is None for process in processes), "a process ended early"
        time.sleep(0.02)


# ---- shared ----


def shared_grid():
    "A data set, and entries of which two begin alike."
    data = {"toy": make_log(90, PlantedWorld(n_items=40, n_clusters=4), 8).dataset("toy")}
    staged = {**SMALL, "steps": 4}
    entries = [
        Entry("adrec", "adrec", "quick", staged),
        Entry("no noise", "adrec", "quick", {**staged, "noise_weight": 0}),
        Entry("sasrec", "sasrec", "quick", SMALL),
        Entry("knn", "knn", candidates=[{"neighbours": 5}, {"neighbours": 20}]),
    ]
    return data, entries, [0, 1]


def share(name):
    "Runs in a process of its own: say that it is there, wait for the start, and work."
    Path(f"ready-{name}").touch()
    while not Path("go").exists():
        time.sleep(0.01)

    def told(job, why):
        print(job.title, why, flush=True)

    run_grid(*shared_grid(), "grid", threads=1, apart=False, on_cell=told)


def test_two_processes(tmp_path):
    "They do every cell, no cell twice, and each stage 1 once."
    code = "import sys, test_benchmark; test_benchmark.share(sys.argv[1])"
    pair = [start(["-c", code, name], tmp_path) for name in "ab"]
    wait_for(lambda: all((tmp_path / f"ready-{name}").exists() for name in "ab"), *pair)
    (tmp_path / "go").touch()
    told = [finish(process) for process in pair]
    assert [code for code, *_ in told] == [0, 0], told
    titles = [line.rsplit(" ", 1)[0] for _, out, _ in told for line in out.splitlines()]
    files = (tmp_path / "grid/results").rglob("*.json")
    done = [str(path.relative_to(tmp_path / "grid/results").with_suffix("")) for path in files]
    assert sorted(titles) == sorted(done) and len(done) == 3 * 2 + 2 + 1
    assert all(out for _, out, _ in told)
    assert all(line.endswith(" None") for _, out, _ in told for line in out.splitlines())
    table = benchmark_table(load_results(tmp_path / "grid"))
    names = ["adrec", "adrec, stage1", "knn", "no noise", "sasrec"]
    assert list(table.loc["toy"].index) == names
    for run in (tmp_path / "grid/runs").glob("*/no noise/*"):
        others = run.parents[1] / "adrec" / run.name
        rows = read_costs(run) + read_costs(others)
        assert [row["begun_with"] for row in rows if "begun_with" in row], run


# ---- interrupted and killed ----


def is_free(lock):
    "Whether nobody holds a lock."
    try:
        with FileLock(lock, timeout=0):
            return True
    except Timeout:
        return False


@pytest.fixture
def one_thread():
    "As the other processes here have it."
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "A log, and a grid with a floor, a long training and an entry that cannot be."
    folder = tmp_path_factory.mktemp("benchmark")
    frame = make_log(150, PlantedWorld(n_items=40, n_clusters=4), mean_length=10).frame()
    frame.to_csv(folder / "log.csv", index=False)
    settings = ", ".join(f"{name} = {value}" for name, value in LONG.items())
    grid = '[entries.long]\nmodel = "adrec"\npreset = "quick"\n'
    grid += f"settings = {{ {settings} }}\n"
    grid += '[entries.broken]\nmodel = "knn"\nsettings = { neighbours = 0 }\n'
    (folder / "grid.toml").write_text(grid)
    return folder


WORDS = "benchmark --data toy=log.csv --entries popularity --grid grid.toml --seeds 3 --out grid"
WORDS += " --threads 1 --device cpu"


def begin(folder):
    "The command, and the moment after its next validation of the long training."
    history = folder / "grid/runs/toy/long/seed-3/metrics.jsonl"

    def noted():
        return len(history.read_text().splitlines()) if history.exists() else 0

    before = noted()
    process = start(["-m", "adrec_nb.cli", *shlex.split(WORDS)], folder)
    state = history.parent / "last/state"
    wait_for(lambda: noted() > before and state.exists(), process)
    return process


@pytest.fixture(scope="module")
def stopped(folder):
    "The same command interrupted and then killed; when the finished cell was written."
    process = begin(folder)
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process)
    assert (code, out) == (130, "")
    again = f"adrec-nb: interrupted; grid keeps every finished cell. Go on with: adrec-nb {WORDS}"
    assert err.splitlines()[-1] == again and "Traceback" not in err
    lock = folder / "grid/locks/toy/long/seed-3.lock"
    assert is_free(lock)  # the cell's own process is gone, and has noted its cost
    process = begin(folder)
    process.kill()
    process.communicate()
    wait_for(lambda: is_free(lock))  # so is the second one, which nobody told
    assert not (folder / "grid/results/toy/long/seed-3.json").exists()
    return (folder / "grid/results/toy/popularity/seed-0.json").stat().st_mtime_ns


def test_gone_on_with(stopped, folder):
    "What was finished stays as it is; the training goes on; what cannot be is told; exit code 2."
    process = start(["-m", "adrec_nb.cli", *shlex.split(WORDS), "--json"], folder)
    code, out, err = finish(process)
    facts = json.loads(out)
    assert code == 2 and "Traceback" not in err
    assert list(facts["failed"]) == ["toy/broken/seed-0"]
    assert err.splitlines()[-1].startswith("adrec-nb: not all could be done (toy/broken/seed-0: ")
    assert (folder / "grid/results/toy/popularity/seed-0.json").stat().st_mtime_ns == stopped
    history = load_run(folder / "grid/runs/toy/long/seed-3", "cpu").history
    epochs = [(1, e) for e in range(1, 26)] + [(2, 1), (2, 2)] + [(3, e) for e in range(3, 26)]
    assert [(row["stage"], row["epoch"]) for row in history] == epochs
    assert len(read_costs(folder / "grid/runs/toy/long/seed-3")) == 3
    assert (folder / "grid/table.md").read_text().count("\n") == 2 + len(facts["rows"])


def test_as_if_nothing_had_happened(stopped, folder, tmp_path, one_thread):
    "The cell that was interrupted and killed is that of a training in one piece."
    (cell,) = load_results(folder / "grid/results/toy/long/seed-3.json")
    ds, source = find_data(str(folder / "log.csv"))
    ds.name = "toy"
    whole = do_job(Job(tmp_path, "toy", "long", "adrec", "quick", LONG, 3), ds, source)
    assert cell["models"] == whole["models"] and cell["valid"] == whole["valid"]
    assert cell["cost"]["train_seconds"] > 0 and cell["cost"]["peak_memory_mb"] > 50


# ---- the README ----


def test_readme_has_the_results():
    "What stands between its two comments is what the command makes of the main table's file."
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    results = load_results([ROOT / "nbs/labs/results/main.json"])
    assert find_block(text)[1] == readme_results(results)
