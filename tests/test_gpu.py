"""The program for a GPU, on a CPU: what it measures, what it does when something goes wrong.

What only a GPU has is skipped by it, each with its reason; everything else runs here.
"""

import json
import os
import subprocess
import sys

import gpu
import gpu_cells
import gpu_measure as measure
import gpu_report
import gpu_worker
import pytest
import torch
from kinds import KINDS

NOTEBOOK = [
    "#| export\nimport math\n%matplotlib inline",
    "from fastcore.test import test_eq\ntest_eq([1, 2], [1, 2])\nx = math.tau",
    "#| slow\nraise RuntimeError('slow cells are left out')",
    "#| cuda\ntest_eq(x, 2 * math.pi)",
    "y = undefined",
    "#| cuda\nassert x < 0, 'first line\\nx is not below 0'",
    "#| cuda\ny + 1",
    "raise RuntimeError('nothing comes after the last cell for a GPU')",
]


@pytest.fixture
def quiet(monkeypatch, tmp_path):
    "What running a notebook's cells changes is put back."
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


# ---- the file ----


def some_report():
    "A small one."
    task = {"log": "Baby", "model": "ADRec", "task": "epoch", "setting": "eager"}
    row = {**task, "precision": "fp32", "status": "passed", "reason": None}
    facts = measure.environment("cpu")
    args = gpu.parse(["--device", "cpu"])
    done = [("times", row, {"seconds": 0.5, "peak_bytes": 10}), ("waits", *a_wait())]
    return gpu.report_of(args, facts, done, gpu.Clock(1))


def a_wait():
    "A row that failed."
    return {"model": "ADRec", "what": "a step"}, {"status": "failed", "reason": "it waited"}


def test_a_report_is_as_the_schema_says():
    "Numbers that are missing are null; the sums are there, and all of it as text."
    report = some_report()
    assert gpu_report.problems(report) == []
    assert report["summary"] == {"failed": 1, "passed": 1, "skipped": 0}
    text = gpu_report.as_text(report)
    assert "500.00" in text and "failed: it waited" in text


@pytest.mark.parametrize(
    "place, value, expected",
    [
        (["seconds"], "3", ".seconds: '3' is no int or float"),
        (["environment", "has", "bf16"], None, ".environment.has.bf16: None is no bool"),
        (["times", 0, "status"], "good", ".times[0].status: 'good' is none of ['failed'"),
        (["times", 0, "extra"], 1, ".times[0].extra is unknown"),
        (["waits", 0, "waits"], True, ".waits[0].waits: True is no int or null"),
        (["kernels"], {}, ".kernels: {} is no list"),
        (["options"], [], ".options: [] is no object"),
    ],
)
def test_what_is_wrong_with_a_report(place, value, expected):
    "Place and problem, in a line."
    report = some_report()
    inside = report
    for name in place[:-1]:
        inside = inside[name]
    inside[place[-1]] = value
    (line,) = gpu_report.problems(report)
    assert line.startswith(expected)


def test_what_is_missing_from_a_report():
    "Named as well."
    report = some_report()
    del report["environment"]["driver"]
    assert gpu_report.problems(report) == [".environment.driver is missing"]


# ---- what is measured ----


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_numbers_as_on_a_cpu(kind):
    "On a CPU, exactly; with a weight changed, all that depends on it is found to differ."
    rows = list(measure.compared(kind, "cpu", small=True))
    assert [row["what"] for row in rows] == list(measure.COMPARED)
    assert all(row["difference"] == 0 and row["largest"] > 0 for row in rows)
    assert {row["status"] for row in rows} == {"passed"}

    def change(model):
        with torch.no_grad():
            model.embedding.weight[1:] *= 1.01

    rows = list(measure.compared(kind, "cpu", small=True, change=change))
    failed = {row["what"] for row in rows if row["status"] == "failed"}
    assert failed >= {"scores", "gradients"}
    assert next(row["reason"] for row in rows if row["what"] == "scores")


def test_what_is_not_finite_is_no_small_difference():
    "A NaN on one side is infinitely far."
    x = torch.tensor([1.0, 2.0])
    assert measure.far(x, x.clone())[0] == 0
    assert measure.far(torch.tensor([1.0, torch.nan]), x)[0] == float("inf")


ROWS = list(measure.time_rows("Baby"))


def test_every_task_is_timed_in_rows_of_its_own():
    "No row twice, none of an unknown task or model."
    assert len({json.dumps(row) for row in ROWS}) == len(ROWS)
    assert {row["task"] for row in ROWS} == set(measure.TASKS)
    assert {row["model"] for row in ROWS} == set(KINDS)


@pytest.mark.parametrize("task", measure.TASKS)
def test_times(task):
    "The first row of each task that a CPU can do; all are in fp32."
    row = next(row for row in ROWS if row["task"] == task)
    assert row["precision"] == "fp32"
    (found,) = gpu_worker.rows_of("times", [row], "cpu", True)
    assert found[0] == 0 and found[1]["status"] == "passed", found
    assert 0 < found[1]["seconds"] < 60 and found[1]["peak_bytes"] > 0


def test_what_a_cpu_does_not_have_is_skipped():
    "With a reason, and nothing else is lost."
    settings = ("CUDA graph", "varlen_attn", *measure.COMPILED, *measure.KERNELS)
    rows = [row for row in ROWS if row["precision"] != "fp32" or row["setting"] in settings]
    chosen = {(row["task"], row["setting"], row["precision"]): row for row in rows}.values()
    for _, row in gpu_worker.rows_of("times", list(chosen), "cpu", True):
        assert row == {"status": "skipped", "reason": "needs a GPU"}


@pytest.mark.parametrize("what", measure.COMPILED)
def test_what_is_compiled_computes_the_same(what):
    "As PyTorch's compiler sees it, here without making kernels."
    case, other = (measure.Case("SASRec+", "Baby", "fp32", "cpu", small=True) for _ in range(2))
    measure.compiled(other, what, backend="eager", dynamic=True)
    losses = []
    for one in (case, other):
        one.model.eval()  # no dropout
        batch = one.batch()
        losses.append(one.model.losses(batch, ())["ce"])
    torch.testing.assert_close(losses[1], losses[0])
    torch.compiler.reset()


def test_how_errors_are_judged():
    "What does not exist is skipped, what goes wrong failed."

    def raised(error):
        def measured():
            raise error

        return gpu_worker.judged(measured)

    missing = raised(RuntimeError("Details:\nNo available kernel. Aborting execution."))
    assert missing["status"] == "skipped" and "No available kernel" in missing["reason"]
    wrong = raised(RuntimeError("CUDA error: misaligned address\n"))
    assert wrong == {"status": "failed", "reason": "RuntimeError: CUDA error: misaligned address"}
    assert gpu_worker.judged(lambda: {"seconds": 1.0})["status"] == "passed"


def test_kernels():
    "The longest first, with shares of the whole."
    found = measure.kernels_of("ADRec", "Baby", "fp32", "cpu", small=True)
    kernels = found["kernels"]
    assert 5 < len(kernels) <= measure.SHOWN
    assert kernels == sorted(kernels, key=lambda one: -one["seconds"])
    assert 0.2 < sum(one["share"] for one in kernels) <= 1.001


def test_waits():
    "None in a step, one transfer for the places of users in ranking: two calls that see it."
    task = {"model": "ADRec"}
    tasks = [task | {"what": what} for what in measure.WAITS]
    rows = [row for _, row in gpu_worker.rows_of("waits", tasks, "cpu", True)]
    assert [row["waits"] for row in rows] == [0, 2], rows


def test_a_file_is_a_log():
    "What --data takes."
    assert measure.find_log("x", small=True).n_users == 60
    with pytest.raises(ValueError, match="nowhere.csv"):
        measure.find_log("nowhere.csv")


# ---- cells ----


@pytest.fixture
def made(tmp_path):
    "A notebook with cells for a GPU."
    cells = [{"cell_type": "code", "source": source.splitlines(True)} for source in NOTEBOOK]
    cells.insert(1, {"cell_type": "markdown", "source": ["#| cuda in a text is none"]})
    path = tmp_path / "made.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    return path


def test_cells_for_a_gpu(made, quiet):
    "Those before run first; one that fails says where, one that lacks what failed is skipped."
    assert gpu_cells.cuda_cells(made) == [4, 6, 7]
    passed, failed, skipped = gpu_cells.run_cells(made)
    assert passed[:3] == (4, "passed", None) and passed[3] >= 0
    assert failed[:3] == (6, "failed", "AssertionError: x is not below 0")
    reason = "cell 5 before it: NameError: name 'undefined' is not defined"
    assert skipped == (7, "skipped", reason, None)
    without = [(number, "skipped", "needs a GPU", None) for number in (4, 6, 7)]
    assert list(gpu_cells.run_cells(made, here=False)) == without


def test_all_cells_for_a_gpu_are_found(root):
    "By notebook, the labs' at the end."
    found = gpu_cells.with_cuda_cells(root)
    texts = (path.read_text(encoding="utf-8") for path in (root / "nbs").rglob("*.ipynb"))
    cells = [cell for text in texts for cell in json.loads(text)["cells"]]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert sum(map(len, found.values())) == sum("#| cuda" in one for one in sources) > 10
    assert ["/labs/" in place for place in found] == sorted("/labs/" in place for place in found)


def test_a_notebook_without_fastcore(root, quiet, monkeypatch):
    "What the notebooks' tests need of it is here."
    monkeypatch.setitem(sys.modules, "fastcore.test", None)  # cannot be imported
    place = root / "nbs" / "library" / "spectra.ipynb"
    (found,) = gpu_cells.run_cells(place)
    assert found[1:3] == ("passed", None)
    assert sys.modules["fastcore.test"].test_eq is gpu_cells.test_eq
    for name in ("fastcore", "fastcore.test"):
        monkeypatch.delitem(sys.modules, name)


def test_the_stand_ins_notice():
    "They are tests as well."
    gpu_cells.test_eq(torch.ones(2), torch.ones(2))
    gpu_cells.test_close(1.0, 1.000001)
    gpu_cells.test_fail(lambda: int("x"), contains="invalid literal")
    for wrong in (
        lambda: gpu_cells.test_eq([1], [2]),
        lambda: gpu_cells.test_eq(torch.ones(2), torch.zeros(2)),
        lambda: gpu_cells.test_close(1, 2),
        lambda: gpu_cells.test_fail(lambda: None),
        lambda: gpu_cells.test_fail(lambda: int("x"), contains="something else"),
    ):
        with pytest.raises(AssertionError):
            wrong()


# ---- processes that end before they should ----

TASKS = [{"task": name} for name in "abc"]
DONE = {"status": "passed", "reason": None}


def finished(monkeypatch, answers, section="times", minutes=1.0):
    "What is made of the answers of one process after another, and what each was asked."
    orders, answers = [], iter(answers)

    def ask(order, clock, limit):
        orders.append([task["task"] for task in order["tasks"]])
        yield from next(answers)

    monkeypatch.setattr(gpu, "ask", ask)
    results = gpu.finish(section, TASKS, gpu.Clock(minutes), {})
    return [(row["status"], row["reason"]) for row in results], orders


def test_a_crash_costs_one_row(monkeypatch):
    "The next process does the rest."
    answers = [[(0, DONE), (None, "its process ended with -9: Killed")], [(0, DONE)]]
    results, orders = finished(monkeypatch, answers)
    failed = ("failed", "its process ended with -9: Killed")
    assert results == [("passed", None), failed, ("passed", None)]
    assert orders == [["a", "b", "c"], ["c"]]


def test_a_new_process_after_an_error(monkeypatch):
    "Asked for by the old one; no row is blamed for it."
    wrong = {"status": "failed", "reason": "CUDA error"}
    answers = [[(0, wrong), (None, gpu.AGAIN)], [(0, DONE), (1, DONE)]]
    results, orders = finished(monkeypatch, answers)
    assert results == [("failed", "CUDA error"), ("passed", None), ("passed", None)]
    assert orders == [["a", "b", "c"], ["b", "c"]]


def test_a_notebook_is_not_run_again(monkeypatch):
    "Its cells share a process."
    results, orders = finished(monkeypatch, [[(None, "it crashed")]], section="cells")
    assert results == [("failed", "it crashed")] * 3 and len(orders) == 1


def test_no_time_is_left(monkeypatch):
    "Nothing is begun."
    results, orders = finished(monkeypatch, [], minutes=0)
    assert results == [("skipped", "time is up (--minutes 0)")] * 3 and orders == []


def test_an_interrupt(monkeypatch):
    "What was measured is kept."

    def interrupted():
        yield 0, DONE
        raise KeyboardInterrupt

    results, orders = finished(monkeypatch, [interrupted()])
    assert results == [("passed", None)] + [("skipped", "interrupted")] * 2 and len(orders) == 1


def test_a_hang(monkeypatch):
    "A process that says nothing is ended."
    order = {"section": "cells", "tasks": [{"notebook": "x", "cell": 1}]}
    order |= {"device": "cpu", "small": True}
    found = list(gpu.ask(order, gpu.Clock(1), limit=0.01))
    assert found[0] == (None, "took longer than 0.01 s")


# ---- all of it ----


def run(*arguments, **env):
    "The program, in a process of its own."
    command = [sys.executable, gpu.__file__, *arguments]
    env = os.environ | env
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=240)


def test_without_a_gpu():
    "One line, and exit code 2."
    done = run(CUDA_VISIBLE_DEVICES="")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("no GPU: PyTorch") and done.stderr.count("\n") == 1


def test_a_file_that_is_not_there(capsys):
    "One line, before anything is measured."
    assert gpu.main(["--device", "cpu", "--data", "nowhere.csv"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and "nowhere.csv" in said.err and said.err.count("\n") == 1


def test_the_program(tmp_path):
    "It writes the file and prints the table."
    out = tmp_path / "gpu.json"
    how = ["--device", "cpu", "--small", "--out", str(out)]
    done = run(*how, "--only", "waits", "--minutes", "3")
    assert done.returncode == 0, done.stderr
    report = json.loads(out.read_text())
    assert gpu_report.problems(report) == []
    assert len(report["waits"]) == len(KINDS) * len(measure.WAITS) and report["times"] == []
    assert report["waits"][0] == {"model": "ADRec", "what": "a step", "waits": 0, **DONE}
    assert gpu_report.as_text(report) == done.stdout.removesuffix("\n")
    assert "waits: ADRec, a step" in done.stderr


def test_the_program_without_time(tmp_path):
    "The file is there, and every row says why it is empty."
    out = tmp_path / "gpu.json"
    done = run("--device", "cpu", "--out", str(out), "--minutes", "0.0001")
    assert done.returncode == 0, done.stderr
    report = json.loads(out.read_text())
    assert gpu_report.problems(report) == []
    assert all(report[section] for section in gpu_report.SECTIONS)
    reasons = [row["reason"] for section in gpu_report.SECTIONS for row in report[section]]
    assert set(reasons) == {"time is up (--minutes 0.0001)"}
    assert report["summary"] == {"failed": 0, "passed": 0, "skipped": len(reasons)}
