"""Every notebook runs from top to bottom: one result each, in a process of its own.

Cells marked `#| cuda` run where there is a GPU; those marked `#| slow` run with ADREC_NB_SLOW=1.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SLOW = os.environ.get("ADREC_NB_SLOW") == "1"
# Seconds for one notebook; the tour, the longest one without slow cells, takes about four minutes
# on two cores.
TIMEOUT = (240 if SLOW else 15) * 60


def flags():
    "The kinds of cell this machine and this run can afford."
    kinds = ["cuda"] if torch.cuda.is_available() else []
    kinds += ["slow"] if SLOW else []
    return " ".join(kinds)


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
    try:
        output, _ = process.communicate(timeout=TIMEOUT)
        return process.returncode, output
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            return f"none within {TIMEOUT} s", output
        raise


def beside(root):
    "The files in the notebooks' folder that are neither notebooks nor caches."
    files = (path.relative_to(root) for path in (root / "nbs").rglob("*") if path.is_file())
    hidden = ("__pycache__",)
    return {
        file
        for file in files
        if file.suffix != ".ipynb" and not any(p[0] == "." or p in hidden for p in file.parts)
    }


def test_notebook(notebook, root, tmp_path):
    "It raises nothing, nbdev really ran it, and it leaves no file beside itself."
    scripts, runs = Path(sys.executable).parent, tmp_path / "runs"
    runs.mkdir()
    env = os.environ | {
        "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}",
        "ADREC_NB_RUNS": str(runs),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path / "hypothesis"),
        "TQDM_DISABLE": "1",
    }
    before = beside(root)
    command = [
        str(scripts / "nbdev_test"),
        "--path",
        str(notebook),
        "--do_print",
        "--flags",
        flags(),
    ]
    code, output = run(command, root, env)
    # nbdev_test also succeeds when it finds nothing to run, and then does not say so
    if code != 0 or "Success." not in output:
        pytest.fail(f"{' '.join(command)}: exit code {code}\n{output}", pytrace=False)
    assert beside(root) == before
    if notebook.name == "00_tour.ipynb":
        assert (runs / "results.txt").is_file(), "make demo prints the table the tour leaves there"
