"""Run notebooks as Colab does: one alone in an empty folder, with the built wheel and its packages.

    python tests/colab.py                            all of course and labs
    python tests/colab.py nbs/course/03_diffusion.ipynb

The packages are those of Colab where they can be had for this Python (its image of August 2026):
they lie in a folder of their own before the installed ones. PyTorch stays as it is here. Each
notebook's results and errors are printed in one line; the exit code is 1 if one fails.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbconvert.filters import strip_ansi

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    "ipywidgets==7.7.1",
    "ipython==7.34.0",
    "ipython_genutils",  # ipywidgets 7 still imports it; the next four: IPython 7 and pandas 2
    "backcall",
    "decorator",
    "pickleshare",
    "pytz",
    "pandas==2.2.3",
    "matplotlib==3.10.0",
    "numpy==2.1.3",
)
LEFT_OUT = re.compile(r"^#\| *(cuda|slow|eval: *false)", re.M)
SECONDS = 600  # of one notebook


def install(folder):
    "Put Colab's packages and this project's wheel into a folder; what pip says where it fails."
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = ["wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    with tempfile.TemporaryDirectory() as built:
        source = Path(built) / "source"
        shutil.copytree(ROOT / "adrec_nb", source / "adrec_nb")
        (source / "data").mkdir()
        files = [ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE")]
        for file in (*files, *(ROOT / "data").glob("*.toml")):
            shutil.copy(file, source / file.relative_to(ROOT))
        subprocess.run([*pip, *wheel, built, str(source)], check=True, stdout=sys.stderr)
        (own,) = Path(built).glob("*.whl")
        command = [*pip, "install", "--target", str(folder)]
        command += ["--no-deps"]
        subprocess.run([*command, str(own)], check=True)
        done = subprocess.run([*command, *PACKAGES], capture_output=True, text=True)
    return done.stderr if done.returncode else ""


def run(notebook, packages, folder):
    "Execute a notebook's cells in an empty folder; what went wrong, or nothing."
    nb = nbformat.read(notebook, as_version=4)
    for cell in nb.cells:
        if cell.cell_type == "code" and LEFT_OUT.search(cell.source):
            cell.source = ""
    here = folder / "empty"
    here.mkdir(parents=True)
    stored = ROOT / "nbs" / "labs" / "results"  # the first cell fetches it in Colab
    if any("/raw/" in cell.source for cell in nb.cells[:6]):
        shutil.copytree(stored, here / "results")
        shutil.copytree(stored, folder / "labs" / "results")
    env = {"PYTHONPATH": str(packages), "ADREC_NB_RUNS": str(folder / "runs"), "TQDM_DISABLE": "1"}
    where = {"metadata": {"path": str(here)}}
    client = NotebookClient(nb, timeout=SECONDS, kernel_name="python3", resources=where)
    try:
        client.execute(env=os.environ | env)
    except (CellExecutionError, CellTimeoutError, RuntimeError) as error:
        return strip_ansi(str(error))
    return ""


def main():
    "Install once, run one after the other."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="course and labs by default")
    wanted = parser.parse_args().notebooks
    wanted = wanted or [*(ROOT / "nbs").glob("course/*"), *(ROOT / "nbs").glob("labs/*.ipynb")]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="colab-") as own:
        packages = Path(own) / "packages"
        problem = install(packages)
        if problem:
            print(f"pip cannot fetch Colab's packages here: {problem.strip().splitlines()[-1]}")
            return 2
        for number, notebook in enumerate(sorted(wanted)):
            folder, began = Path(own) / f"empty {number}", time.monotonic()
            folder.mkdir()
            problem = run(notebook.resolve(), packages, folder)
            failed += bool(problem)
            took = f"{time.monotonic() - began:.0f} s"
            print(f"{notebook.name}: {'failed' if problem else 'passed'}, {took}", flush=True)
            if problem:
                print(problem)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
