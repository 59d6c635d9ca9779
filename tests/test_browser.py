"""The explorers as people meet them: in a browser, by keyboard, through Voila; and one notebook in JupyterLab.

Needs chromium (Debian's package of that name, or any named by the environment variable CHROMIUM) and Playwright
(`pip install playwright`); without them these tests are skipped. No network is used: the run is a small one.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
WAIT = 120_000  # ms; a kernel that imports torch on a busy machine takes its time
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]

if CHROMIUM is None:
    pytest.skip("no chromium: apt-get install chromium, or name one in CHROMIUM", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install playwright")
pytest.importorskip("voila", reason="no Voila: pip install 'adrec-nb[lab]'")

# As much as the explorers need to know of a run's data, in a file that any kernel can make again.
SET_UP = """
import numpy as np
from adrec_nb.data import SequenceDataset
draw, genres = np.random.default_rng(0), ["drama", "comedy", "crime", "western", "horror", "musical"]
walk = lambda n, start: [int(1 + 10 * ((step // 3 + start) % 6) + draw.integers(10)) for step in range(n)]
walks = [walk(draw.integers(8, 16), draw.integers(6)) for _ in range(120)]
names = ["", *(f"{genres[i // 10].capitalize()} {i % 10}" for i in range(60))]
ds = SequenceDataset("ring", walks, names, names, [(), *((genres[i // 10],) for i in range(60))])
"""
SMALL = dict(dim=16, steps=8, max_len=12, batch_size=40, lr=0.01, max_epochs=4, cosine_epochs=4, align_epochs=2, validate_every=2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    "A run of a few seconds on a ring of sixty films."
    from adrec_nb.training import train
    space = {}
    exec(SET_UP, space)
    return train(space["ds"], run_dir=tmp_path_factory.mktemp("runs") / "ring", device="cpu", **SMALL)


@pytest.fixture(scope="module")
def browser():
    "Headless Chromium."
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


def free_port():
    "A port nobody listens on."
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(folder):
    "As few surprises as possible: this environment's kernel, this source tree, a home of its own."
    own = {"HOME": str(folder), "PYTHONPATH": str(ROOT), "JUPYTER_PREFER_ENV_PATH": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1",
           "TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1", "IPYTHONDIR": str(folder / "ipython")}
    return {key: value for key, value in os.environ.items() if not key.startswith("JUPYTER")} | own


class Server:
    "A server process with its children; ended as a group."

    def __init__(self, command, url, folder):
        self.url, self.log = url, folder / "server.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=environment(folder), stdout=log, stderr=log, start_new_session=True)

    def __enter__(self):
        give_up = time.monotonic() + WAIT / 1000
        while time.monotonic() < give_up and self.process.poll() is None:
            try:
                urllib.request.urlopen(self.url.split("#")[0].rsplit("/", 1)[0] + "/static/", timeout=5)
                return self
            except urllib.error.HTTPError:
                return self
            except OSError:
                time.sleep(0.2)
        self.__exit__()
        raise AssertionError(f"{self.process.args}: no answer\n{self.log.read_text()}")

    def __exit__(self, *error):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def notebook(path, *sources):
    "Write a notebook with these code cells."
    cells = [{"cell_type": "code", "id": f"c{i}", "metadata": {}, "source": source, "outputs": [], "execution_count": None} for i, source in enumerate(sources)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.write_text(json.dumps({"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}))


@pytest.fixture(scope="module")
def page(browser, run, tmp_path_factory):
    "The app through Voila, with one run whose data is at hand."
    folder, port = tmp_path_factory.mktemp("voila"), free_port()
    notebook(folder / "app.ipynb", f"{SET_UP}\nfrom adrec_nb.widgets import App\nApp([{str(run.dir)!r}], data=lambda run: (ds, ''))")
    command = [sys.executable, "-m", "voila", "app.ipynb", f"--port={port}", "--no-browser", "--Voila.ip=127.0.0.1", "--Voila.log_level=WARN"]
    with Server(command, f"http://127.0.0.1:{port}/", folder) as server:
        view = browser.new_page(viewport={"width": 1200, "height": 1400})
        view.goto(server.url, timeout=WAIT)
        view.wait_for_selector("img[alt]", timeout=WAIT)
        yield view
        view.close()


def shown(page):
    "Picture and table of the open tab."
    return [page.locator("img[alt]:visible").first.get_attribute("src"), "\n".join(page.locator("table:visible").all_inner_texts())]


def trouble(page):
    "Everything on the page that looks like an error."
    alerts = page.locator('p[role="alert"]:visible').all_inner_texts()
    return alerts + page.locator(".jp-OutputArea-output[data-mime-type*=error], [data-mime-type*=stderr]").all_inner_texts()


def open_tab(page, title):
    "Turn to a tab and wait for its picture."
    page.get_by_role("tab", name=title, exact=True).or_(page.locator(".lm-TabBar-tabLabel, .p-TabBar-tabLabel", has_text=re.compile(f"^{title}$"))).first.click()
    page.wait_for_function("document.querySelectorAll('img[alt]').length && [...document.querySelectorAll('img[alt]')].some(i => i.offsetParent)", timeout=WAIT)


def control(page, label):
    "The part of a control that takes the keyboard."
    box = page.locator(".widget-inline-hbox:visible, .widget-checkbox:visible, .widget-text:visible, .widget-dropdown:visible, .widget-select:visible",
                       has_text=re.compile(re.escape(label))).first
    return box.locator(".noUi-handle, select, input").last


def press(page, label, *keys):
    "Keys on the control with this label; what of picture and table then changes."
    before = shown(page)
    part = control(page, label)
    part.focus()
    for key in keys:
        page.keyboard.press(key)
    page.wait_for_function("([src, text]) => { const i = [...document.querySelectorAll('img[alt]')].find(i => i.offsetParent); const t = [...document.querySelectorAll('table')].filter(t => t.offsetParent).map(t => t.innerText).join('\\n');"
                           " return i && (i.getAttribute('src') != src || t != text) }", arg=before, timeout=WAIT)
    page.wait_for_timeout(300)  # picture and table come one after the other
    assert trouble(page) == []
    alt = page.locator("img[alt]:visible").first.get_attribute("alt")
    assert alt and len(alt) > 20
    return {name for name, old, new in zip(("picture", "table"), before, shown(page)) if old != new}


def test_every_control_has_a_label(page):
    "In every tab: nothing takes the keyboard without words that say what it is."
    for title in ("Spectrum", "Map", "Noise", "Denoising", "Recommender", "Training"):
        open_tab(page, title)
        boxes = page.locator(".widget-inline-hbox:not(.widget-html):visible")
        assert boxes.count() > 0
        for box in boxes.all():
            assert box.locator("label, .widget-label").first.inner_text().strip() or "checkbox" in box.get_attribute("class")
        for button in page.locator("button.jupyter-button:visible").all():
            assert button.inner_text().strip()
        assert all(image.get_attribute("alt") for image in page.locator("img:visible").all())
        assert trouble(page) == []


def test_spectrum(page):
    "Runs, stages, epoch, kind, both axes and the noise curve."
    open_tab(page, "Spectrum")
    assert press(page, "Up to epoch", "ArrowLeft") == {"picture", "table"}
    assert press(page, "Table is taken", "ArrowDown") == {"picture", "table"}
    assert press(page, "Stages", "ArrowDown") == {"picture", "table"}
    for label in ("Logarithmic ranks", "Logarithmic values", "Noise curve"):
        assert press(page, label, "Space") == {"picture"}
        assert press(page, label, "Space") == {"picture"}


def test_map(page):
    "Table, method, colour, an item by its title, and how many neighbours."
    open_tab(page, "Map")
    assert "picture" in press(page, "Method", "ArrowDown")
    assert press(page, "Colour", "ArrowDown") == {"picture"}
    assert press(page, "Item table", "ArrowDown") == {"picture", "table"}
    assert press(page, "Neighbours", "ArrowLeft") == {"picture", "table"}
    assert press(page, "Words of a title", "Control+a", *"horror 7") == {"picture", "table"}
    page.wait_for_selector("caption:visible:has-text('Horror 7')", timeout=WAIT)
    page.wait_for_selector("img[alt*='nearest to Horror 7']:visible", timeout=WAIT)


def test_noise(page):
    "User, schedule, T, t, per token or per sequence, draw."
    open_tab(page, "Noise")
    for label, key in (("User", "ArrowRight"), ("Schedule", "ArrowDown"), ("Steps T", "ArrowRight"), ("Step t", "ArrowLeft"), ("Steps are drawn", "ArrowDown"), ("Draw number", "ArrowRight")):
        assert "picture" in press(page, label, key), label


def test_denoising(page):
    "User, steps, noise weight, noise and the step that is looked at."
    open_tab(page, "Denoising")
    for label, key in (("User", "ArrowRight"), ("Noise weight", "ArrowRight"), ("Noise number", "ArrowRight"), ("Show the guess", "ArrowLeft"), ("Denoising steps", "ArrowLeft")):
        assert press(page, label, key) == {"picture", "table"}, label
    assert "true next item" in shown(page)[1]


def test_recommender(page):
    "A history typed, added to, taken back and emptied by keyboard."
    open_tab(page, "Recommender")
    field = control(page, "Words of a title")
    field.focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("western 3")
    page.wait_for_selector("option:has-text('Western 3')", state="attached", timeout=WAIT)

    def button(text):
        before = shown(page)
        page.get_by_role("button", name=text).focus()
        page.keyboard.press("Enter")
        return before
    before = button("Add to the history")
    page.wait_for_selector("ol:visible li:has-text('Western 3')", timeout=WAIT)
    page.wait_for_function("src => [...document.querySelectorAll('img[alt]')].find(i => i.offsetParent).getAttribute('src') != src", arg=before[0], timeout=WAIT)
    assert press(page, "Recommendations", "ArrowLeft") == {"picture", "table"}
    button("Take the last one back")
    page.wait_for_selector("ol:visible li:has-text('Western 3')", state="detached", timeout=WAIT)
    assert trouble(page) == []
    button("Start anew")
    page.wait_for_selector('[role="alert"]:visible:has-text("history is empty")', timeout=WAIT)
    button("Add to the history")
    page.wait_for_selector('[role="alert"]', state="detached", timeout=WAIT)


def test_training_of_a_finished_run(page):
    "The live view shows what a run has noted."
    open_tab(page, "Training")
    assert press(page, "Table is taken", "ArrowDown") == {"picture", "table"}


WATCH = """() => {
    const box = [...document.querySelectorAll('img[alt]')].find(i => i.offsetParent).closest('.widget-html'), src = () => box.querySelector('img')?.getAttribute('src');
    let start = null, before = src();
    window.changes = [];
    document.addEventListener('keydown', () => { start = performance.now(); before = src(); }, true);
    new MutationObserver(() => { if (start !== null && src() && src() != before) { window.changes.push(performance.now() - start); start = null; } })
      .observe(box, {subtree: true, childList: true, attributes: true}); }"""


def test_spectrum_answers_at_once(page):
    "Each of ten keys brings a new picture; how soon is printed (`pytest -s`), since a time asserted says more about the machine."
    open_tab(page, "Spectrum")
    for label, key in (("Stages", "Home"), ("Up to epoch", "End")):  # stage 1 has a spectrum for each epoch on the slider
        control(page, label).focus()
        page.keyboard.press(key)
        page.wait_for_timeout(2000)
    page.evaluate(WATCH)
    for i, key in enumerate(("ArrowLeft", "ArrowRight") * 5):
        page.keyboard.press(key)
        page.wait_for_function("n => window.changes.length == n", arg=i + 1, timeout=WAIT)
    times = page.evaluate("window.changes")
    print(f"spectrum explorer, change to picture: median {np.median(times):.0f} ms, {min(times):.0f} to {max(times):.0f} ms")


def test_app_from_the_command_line(browser, run, tmp_path):
    "`adrec-nb app` with a damaged run and no run: lines, no traceback, no error output; and it ends when asked to."
    shutil.copytree(run.dir, tmp_path / "cut")
    (tmp_path / "cut" / "best.safetensors").write_bytes(b"cut")
    port = free_port()
    command = [sys.executable, "-m", "adrec_nb.cli", "app", "cut", "none", f"--port={port}", "--no-browser"]
    with Server(command, f"http://127.0.0.1:{port}/", tmp_path) as server:
        view = browser.new_page()
        view.goto(server.url, timeout=WAIT)
        view.wait_for_selector('[role="alert"]', timeout=WAIT)
        lines = view.locator('p[role="alert"]').all_inner_texts()
        text = view.locator("body").inner_text()
        view.close()
    assert len(lines) == 3 and "best.safetensors" in lines[0] and "no such run directory" in lines[1] and "no run to show" in lines[2]
    assert "Traceback" not in text and server.process.returncode == 130
    assert "interrupted" in server.log.read_text() and "Traceback" not in server.log.read_text()


def test_jupyterlab(browser, run, tmp_path):
    "The same explorer in JupyterLab: run all cells, move a slider, see the picture change."
    folder, port = tmp_path / "nbs", free_port()
    folder.mkdir()
    notebook(folder / "spectrum.ipynb", f"from adrec_nb.training import load_run\nfrom adrec_nb.widgets import SpectrumExplorer\nSpectrumExplorer({{'ring': load_run({str(run.dir)!r})}})")
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=secret",
               "--allow-root", "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    with Server(command, f"http://127.0.0.1:{port}/", folder) as server:
        view = browser.new_page(viewport={"width": 1200, "height": 1400})
        view.goto(f"{server.url}lab/tree/spectrum.ipynb?token=secret&reset", timeout=WAIT)
        view.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', timeout=WAIT)
        view.get_by_role("menuitem", name="Run", exact=True).click()
        view.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        view.wait_for_selector("img[alt]", timeout=WAIT)
        before = view.locator("img[alt]").first.get_attribute("src")
        view.locator(".widget-slider .noUi-handle").first.focus()
        view.keyboard.press("ArrowLeft")
        view.wait_for_function("src => document.querySelector('img[alt]').getAttribute('src') != src", arg=before, timeout=WAIT)
        assert trouble(view) == []
        view.close()
