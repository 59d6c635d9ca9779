"""Every notebook runs from top to bottom: one result each, in a process of its own.

On a CPU two of them run at a time, with a thread each: most of a notebook is done by one thread.
Cells marked `#| cuda` run where there is a GPU; those marked `#| slow` run with ADREC_NB_SLOW=1.
"""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

SLOW = os.environ.get("ADREC_NB_SLOW") == "1"
# Seconds for one notebook; the tour, the longest one without slow cells, takes about four minutes
# on two cores.
TIMEOUT = (240 if SLOW else 15) * 60
AT_ONCE = 1 if torch.cuda.is_available() or (os.cpu_count() or 1) < 2 else 2
RUNNING = set()  # processes, to be ended with the session


def flags():
    "The kinds of cell this machine and this run can afford."
    kinds = ["cuda"] if torch.cuda.is_available() else []
    kinds += ["slow"] if SLOW else []
    return " ".join(kinds)


def end(process):
    "Kill a process and all that it started."
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def run(command, cwd, env):
    "Run to the end and return exit code and output; nothing the command started outlives it."
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    RUNNING.add(process)
    try:
        output, _ = process.communicate(timeout=TIMEOUT)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        end(process)
        output, _ = process.communicate()
        return f"none within {TIMEOUT} s", output
    finally:
        RUNNING.discard(process)


def beside(root):
    "The files in the notebooks' folder that are neither notebooks nor caches."
    files = (path.relative_to(root) for path in (root / "nbs").rglob("*") if path.is_file())
    hidden = ("__pycache__",)
    return {
        file
        for file in files
        if file.suffix != ".ipynb" and not any(p[0] == "." or p in hidden for p in file.parts)
    }


def run_notebook(notebook, root, folder):
    "nbdev_test on one notebook: the command, its exit code and its output."
    scripts, runs = Path(sys.executable).parent, folder / "runs"
    runs.mkdir(parents=True)
    env = os.environ | {
        "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}",
        "ADREC_NB_RUNS": str(runs),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis"),
        "TQDM_DISABLE": "1",
    }
    if AT_ONCE > 1:
        env["OMP_NUM_THREADS"] = "1"
    command = [str(scripts / "nbdev_test"), "--path", str(notebook), "--do_print"]
    command += ["--flags", flags()]
    return command, *run(command, root, env)


@pytest.fixture(scope="module")
def results(request, root, tmp_path_factory):
    "All notebooks that were asked for, on their way: notebook -> (folder, future of its result)."
    mine = [one for one in request.session.items if one.module is request.module]
    asked = [one.callspec.params["notebook"] for one in mine if hasattr(one, "callspec")]
    pool, found = ThreadPoolExecutor(AT_ONCE), {}
    for notebook in asked:
        folder = tmp_path_factory.mktemp(notebook.stem)
        found[notebook] = folder, pool.submit(run_notebook, notebook, root, folder)
    yield found
    pool.shutdown(wait=False, cancel_futures=True)
    for process in list(RUNNING):  # only after Ctrl-C: else all have ended
        end(process)


@pytest.fixture(scope="module")
def clean(root):
    "What lies beside the notebooks before any of them runs."
    return beside(root)


def test_notebook(notebook, root, clean, results):
    "It raises nothing, nbdev really ran it, and it leaves no file beside itself."
    folder, future = results[notebook]
    command, code, output = future.result()
    # nbdev_test also succeeds when it finds nothing to run, and then does not say so
    if code != 0 or "Success." not in output:
        pytest.fail(f"{' '.join(command)}: exit code {code}\n{output}", pytrace=False)
    assert beside(root) == clean
    if notebook.name == "00_tour.ipynb":
        left = folder / "runs" / "results.txt"
        assert left.is_file(), "make demo prints the table the tour leaves there"
