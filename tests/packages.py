"""Install the wheel into an empty environment and use it there, without a clone or a notebook.

    python tests/packages.py oldest                  dependencies at the floors of pyproject.toml
    python tests/packages.py newest dist/some.whl    those that pip chooses; a wheel that is there
    python tests/packages.py newest --lab            Jupyter too: the app is served and answers

The environment and the folder that is worked in have a space and an accent in their path, nothing
can be written to the home folder, and the last steps have no network. Each step is one line; the
exit code is 1 if one fails. PyTorch comes from PyPI unless PIP_EXTRA_INDEX_URL names a place with
smaller builds.
"""

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ALL = """
import importlib, pkgutil, warnings, adrec_nb
warnings.simplefilter("error")
names = [module.name for module in pkgutil.iter_modules(adrec_nb.__path__)]
for name in names:
    importlib.import_module(f"adrec_nb.{name}")
print(len(names), "modules")
"""
VERSIONS = """
import importlib.metadata as m
names = ("torch", "numpy", "pandas", "ipywidgets")
print(*(f"{name} {m.version(name)}" for name in names), sep=", ")
"""
NOWHERE = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "all_proxy")}


def floor(requirement):
    "A requirement such as numpy>=2, held at the oldest release that it allows."
    name, version = re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement).groups()
    return f"{name}=={version if '.' in version else version + '.0'}.*"


def dependencies():
    "Those that pyproject.toml names."
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]


def build(folder):
    "A wheel of this clone, built in a copy that leaves nothing behind here."
    source = folder / "source"
    needed = [ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE")]
    shutil.copytree(ROOT / "adrec_nb", source / "adrec_nb")
    (source / "data").mkdir()
    for file in (*needed, *(ROOT / "data").glob("*.toml")):
        shutil.copy(file, source / file.relative_to(ROOT))
    command = [sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps", "--wheel-dir"]
    subprocess.run([*command, str(folder), str(source)], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


class Place:
    "An empty environment and an empty folder."

    def __init__(self, folder):
        "Make both; the home folder may not be written."
        self.folder = folder / "Übung eins"
        self.folder.mkdir()
        venv.create(self.folder / "env", with_pip=True)
        self.programs = self.folder / "env" / "bin"
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        self.env |= {"HOME": "/dev/null/home"}  # nothing can be written there, not even by root
        self.env |= {"ADREC_NB_DATA": str(self.folder / "data")}
        self.env |= {"OMP_NUM_THREADS": "1"}  # models this small only lose time with more
        self.env |= {"MPLCONFIGDIR": str(self.folder / "matplotlib")}
        self.failed = []

    def run(self, *words, code=0, says="", offline=False):
        "One step: it must end with this code and say this."
        command = [str(self.programs / words[0]), *words[1:]]
        env = self.env | (NOWHERE if offline else {})
        began = time.monotonic()
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True)
        out = done.stdout + done.stderr
        fine = done.returncode == code and says in out and "Traceback" not in out
        shown = " ".join(words if words[1:2] != ("-c",) else (words[0], "-c …"))
        what = shown.replace(str(self.folder), "")[:90]
        took = f"{time.monotonic() - began:.0f} s"
        last = out.strip().splitlines()[-1][:100] if out.strip() else ""
        print(f"{'passed' if fine else 'FAILED'}  {what}  ({took})  {last}", flush=True)
        if not fine:
            self.failed.append(what)
            print(f"exit code {done.returncode}\n{out[-3000:]}", flush=True)


def serve(place):
    "Start the app, and wait until it answers or ends."
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(place.programs / "adrec-nb"), "app", "--no-browser", f"--port={port}"]
    how = dict(cwd=place.folder, env=place.env | NOWHERE, start_new_session=True)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    began, page = time.monotonic(), ""
    with open(place.folder / "app.log", "w+", encoding="utf-8") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log, **how)
        while running.poll() is None and not page and time.monotonic() - began < 120:
            try:
                page = direct.open(f"http://127.0.0.1:{port}/", timeout=60).read().decode()
            except OSError:
                time.sleep(0.2)
        if running.poll() is None:
            running.terminate()  # Ctrl-C may be ignored, where this runs in the background
        fine = running.wait(60) == 130 and "ADRec" in page
        print(f"{'passed' if fine else 'FAILED'}  adrec-nb app  ({time.monotonic() - began:.0f} s)")
        if not fine:
            log.seek(0)
            print(log.read()[-3000:])
            place.failed.append("adrec-nb app")


def use(place, lab):
    "What a new user does, step by step."
    place.run("python", "-c", VERSIONS)
    place.run("python", "-c", ALL, says="modules")
    place.run("pip", "check", says="No broken requirements")
    place.run("adrec-nb", "--version", says="adrec-nb ")
    place.run("adrec-nb", "data", "ml-100k", says="ml-100k")
    place.run("adrec-nb", "page", "-o", "a page.html", offline=True, says="2 runs")
    place.run("adrec-nb", "demo", "--made", offline=True, says="item table of ADRec")
    run = "runs/demo/planted-films"
    place.run("adrec-nb", "recommend", run, "--history", "1,9,17", offline=True, says="after 1 ")
    place.run("adrec-nb", "report", run, "-o", "report.html", offline=True, says="1 run")
    place.run("adrec-nb", "demo", offline=True, says="ADRec against stage 1")  # data was fetched
    place.run("adrec-nb", "data", "yelp", code=2, offline=True, says="yelp")
    if lab:
        serve(place)
    else:
        place.run("adrec-nb", "app", "--no-browser", code=2, says="pip install 'adrec-nb[lab]'")


def main():
    "Make the environment, install, use."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=["oldest", "newest"], help="of the dependencies")
    parser.add_argument("wheel", nargs="?", type=Path, help="a wheel (built from this clone)")
    parser.add_argument("--lab", action="store_true", help="with Jupyter and Voila, for the app")
    parser.add_argument("--torch", help="this release of PyTorch, such as 2.13.0")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="adrec-nb-") as folder:
        place = Place(Path(folder))
        wheel = args.wheel.resolve() if args.wheel else build(Path(folder))
        held = [floor(one) for one in dependencies()] if args.which == "oldest" else []
        if args.torch:
            held = [one for one in held if not one.startswith("torch=")] + [f"torch=={args.torch}"]
        what = f"{wheel}[lab]" if args.lab else str(wheel)
        how = [] if args.which == "oldest" else ["--upgrade", "--upgrade-strategy", "eager"]
        place.run("python", "-m", "pip", "--quiet", "install", *how, what, *held)
        if not place.failed:
            use(place, args.lab)
    print(f"{len(place.failed)} failed" if place.failed else "all passed")
    return bool(place.failed)


if __name__ == "__main__":
    sys.exit(main())
