"The explorers under the ipywidgets that Colab ships; the notebook's own test covers the installed one."

import os
import subprocess
import sys
from pathlib import Path

import pytest

OLD = ["ipywidgets==7.7.5", "ipython_genutils"]  # the second is what the first still imports


def test_explorers_under_ipywidgets_7(root, tmp_path):
    "All cells of the explorers' notebook, callbacks fired, with ipywidgets 7.7 in front of the installed one."
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path / "old"), *OLD]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"pip cannot fetch ipywidgets 7.7 here: {done.stderr.strip().splitlines()[-1]}")
    scripts = Path(sys.executable).parent
    env = os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}", "PYTHONPATH": str(tmp_path / "old"), "TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    version = [sys.executable, "-c", "import ipywidgets; print(ipywidgets.__version__)"]
    assert subprocess.run(version, env=env, capture_output=True, text=True, check=True).stdout.startswith("7.7")
    command = [str(scripts / "nbdev_test"), "--path", "nbs/09_widgets.ipynb", "--do_print"]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0 and "Success." in done.stdout, done.stdout + done.stderr
