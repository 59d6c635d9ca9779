"The explorers under the ipywidgets that Colab ships; notebooks' own tests cover the installed one."

import os
import subprocess
import sys
from pathlib import Path

import pytest

OLD = ["ipywidgets==7.7.5", "ipython_genutils"]  # the second is what the first still imports
NOTEBOOKS = ("nbs/course/09_explorers.ipynb", "nbs/library/app.ipynb", "nbs/library/live.ipynb")


def test_explorers_under_ipywidgets_7(root, tmp_path):
    "All cells of these notebooks, callbacks fired, with ipywidgets 7.7 before the installed one."
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    install += ["--target", str(tmp_path / "old"), *OLD]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1]
        pytest.skip(f"pip cannot fetch ipywidgets 7.7 here: {reason}")
    scripts = Path(sys.executable).parent
    env = os.environ | {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    env |= {"PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"}
    env |= {"PYTHONPATH": str(tmp_path / "old"), "ADREC_NB_RUNS": str(tmp_path / "runs")}
    captured = dict(cwd=root, env=env, capture_output=True, text=True)
    version = [sys.executable, "-c", "import ipywidgets; print(ipywidgets.__version__)"]
    assert subprocess.run(version, check=True, **captured).stdout.startswith("7.7")
    for notebook in NOTEBOOKS:
        command = [str(scripts / "nbdev_test"), "--path", notebook, "--do_print"]
        done = subprocess.run(command, timeout=600, **captured)
        assert done.returncode == 0 and "Success." in done.stdout, done.stdout + done.stderr
