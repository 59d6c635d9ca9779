"Explorers and chapters under Colab's packages; notebooks' own tests cover the installed ones."

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import colab

ALONE = ("nbs/course/03_diffusion.ipynb", "nbs/course/07_collapse.ipynb")
NOTEBOOKS = ("nbs/course/09_explorers.ipynb", "nbs/library/app.ipynb", "nbs/library/live.ipynb")


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    "A folder with Colab's packages and the built wheel."
    folder = tmp_path_factory.mktemp("colab") / "packages"
    problem = colab.install(folder)
    if problem:
        reason = problem.strip().splitlines()[-1]
        pytest.skip(f"pip cannot fetch Colab's packages here: {reason}")
    return folder


def test_explorers_under_ipywidgets_7(root, packages, tmp_path):
    "All cells of these notebooks, callbacks fired, with Colab's packages before ours."
    scripts = Path(sys.executable).parent
    env = os.environ | {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    env |= {"PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"}
    env |= {"PYTHONPATH": str(packages), "ADREC_NB_RUNS": str(tmp_path / "runs")}
    captured = dict(cwd=root, env=env, capture_output=True, text=True)
    version = [sys.executable, "-c", "import ipywidgets; print(ipywidgets.__version__)"]
    assert subprocess.run(version, check=True, **captured).stdout.startswith("7.7")
    for notebook in NOTEBOOKS:
        command = [str(scripts / "nbdev_test"), "--path", notebook, "--do_print"]
        done = subprocess.run(command, timeout=600, **captured)
        assert done.returncode == 0 and "Success." in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("chapter", ALONE)
def test_alone_as_in_colab(chapter, root, packages, tmp_path):
    "In an empty folder, with the built wheel; `python tests/colab.py` runs all of them so."
    assert colab.run(root / chapter, packages, tmp_path) == ""
