"""The explorers in a browser, by keyboard, through Voila; and one notebook in JupyterLab.

Needs chromium (Debian's package of that name, or any named by the environment variable CHROMIUM)
and Playwright (`pip install playwright`); without them these tests are skipped. No network is used:
the runs are small ones.
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

sys.path.insert(0, str(Path(__file__).parent))
from chromium import CHROMIUM, FLAGS, sync_api

ROOT = Path(__file__).resolve().parents[1]
WAIT = 120_000  # ms; a kernel that imports torch on a busy machine takes its time

pytest.importorskip("voila", reason="no Voila: pip install 'adrec-nb[lab]'")

# As much as the explorers need to know of a run's data, in a file that any kernel can make again.
SET_UP = """
import numpy as np
from adrec_nb.data import SequenceDataset
draw, genres = np.random.default_rng(0), "drama comedy crime western horror musical".split()
def walk(n, start):
    return [int(1 + 10 * ((step // 3 + start) % 6) + draw.integers(10)) for step in range(n)]
walks = [walk(draw.integers(8, 16), draw.integers(6)) for _ in range(120)]
names = ["", *(f"{genres[i // 10].capitalize()} {i % 10}" for i in range(60))]
ds = SequenceDataset("ring", walks, names, names, [(), *((genres[i // 10],) for i in range(60))])
"""
SMALL = dict(dim=16, max_len=12, batch_size=40, lr=0.01, max_epochs=4, cosine_epochs=4)
SMALL |= dict(align_epochs=2, validate_every=2, device="cpu")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    "Runs of a few seconds on a ring of sixty films: ADRec and SASRec+."
    from adrec_nb.training import train

    space, folder = {}, tmp_path_factory.mktemp("runs")
    exec(SET_UP, space)
    run = train(space["ds"], run_dir=folder / "ring", **SMALL)
    return run, train(space["ds"], "sasrec", folder / "plain", **SMALL)


@pytest.fixture(scope="module")
def run(runs):
    "The one with diffusion."
    return runs[0]


@pytest.fixture(scope="module")
def browser():
    "Headless Chromium."
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield chromium
        chromium.close()


def free_port():
    "A port nobody listens on."
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(folder):
    "As few surprises as possible: this environment's kernel, this source tree, a home of its own."
    kept = {key: value for key, value in os.environ.items() if not key.startswith("JUPYTER")}
    own = {"HOME": str(folder), "IPYTHONDIR": str(folder / "ipython"), "PYTHONPATH": str(ROOT)}
    own |= {"JUPYTER_PREFER_ENV_PATH": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    return kept | own | {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}


class Server:
    "A server process with its children; ended as a group."

    def __init__(self, command, url, folder):
        self.url, self.log = url, folder / "server.log"
        settings = dict(cwd=folder, env=environment(folder), start_new_session=True)
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, **settings)

    def __enter__(self):
        give_up = time.monotonic() + WAIT / 1000
        while time.monotonic() < give_up and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.url}static/", timeout=5)
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


def notebook(path, source):
    "Write a notebook with this code cell."
    empty = {"metadata": {}, "outputs": [], "execution_count": None}
    cells = [{"cell_type": "code", "id": "only", "source": source, **empty}]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    form = {"metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps({"cells": cells, **form}))


@pytest.fixture(scope="module")
def page(browser, runs, tmp_path_factory):
    "The app through Voila, with two runs whose data is at hand."
    folder, port = tmp_path_factory.mktemp("voila"), free_port()
    paths = [str(run.dir) for run in runs]
    app = f"from adrec_nb.app import App\nApp({paths!r}, data=lambda run: (ds, ''))"
    notebook(folder / "app.ipynb", SET_UP + app)
    options = [f"--port={port}", "--no-browser", "--Voila.ip=127.0.0.1", "--Voila.log_level=WARN"]
    command = [sys.executable, "-m", "voila", "app.ipynb", *options]
    with Server(command, f"http://127.0.0.1:{port}/", folder) as server:
        view = browser.new_page(viewport={"width": 1200, "height": 1400})
        view.goto(server.url, timeout=WAIT)
        view.wait_for_selector("img[alt]", timeout=WAIT)
        yield view
        view.close()


def picture(page):
    "The picture of the open tab; of several panels the first."
    return page.locator("img[alt]:visible").first


PANELS = """[...document.querySelectorAll('img[alt]')].filter(i => i.offsetParent)
    .map(i => i.getAttribute('src')).join('\\n')"""
TABLES = """[...document.querySelectorAll('table')].map(t => t.textContent).join('\\n')"""


def shown(page):
    "All panels of the picture, and the tables, folded ones too, of the open tab."
    return [page.evaluate(PANELS), page.evaluate(TABLES)]


def trouble(page):
    "Everything on the page that looks like an error."
    alerts = page.locator('p[role="alert"]:visible')
    outputs = page.locator("[data-mime-type*=error], [data-mime-type*=stderr]")
    return alerts.all_inner_texts() + outputs.all_inner_texts()


PICTURE = "[...document.querySelectorAll('img[alt]')].find(i => i.offsetParent)"


def open_tab(page, title):
    "Turn to an explorer and wait for what it shows."
    button = page.get_by_role("button", name=title, exact=True).first
    before = page.evaluate_handle(PICTURE)
    if "mod-active" not in button.get_attribute("class"):
        button.click()
        page.wait_for_function("old => !old?.isConnected", arg=before, timeout=WAIT)
    alert = "[...document.querySelectorAll('[role=alert]')].some(p => p.offsetParent)"
    page.wait_for_function(f"{PICTURE} !== undefined || {alert}", timeout=WAIT)


BOXES = ("inline-hbox", "checkbox", "text", "dropdown", "select")


def control(page, label):
    "The part of a control that takes the keyboard."
    boxes = page.locator(", ".join(f".widget-{kind}:visible" for kind in BOXES))
    box = boxes.filter(has_text=re.compile(re.escape(label))).first
    return box.locator(".noUi-handle, select, input").last


def press(page, label, *keys):
    "Keys on the control with this label; what of picture and table then changes."
    before = shown(page)
    control(page, label).focus()
    for key in keys:
        page.keyboard.press(key)
    changed = f"{PANELS} != src || {TABLES} != text"
    page.wait_for_function(f"([src, text]) => {changed}", arg=before, timeout=WAIT)
    page.wait_for_timeout(300)  # picture and table come one after the other
    assert trouble(page) == []
    assert len(picture(page).get_attribute("alt")) > 20
    after = zip(("picture", "table"), before, shown(page), strict=True)
    return {name for name, old, new in after if old != new}


TABS = ("Spectrum", "Map", "Noise", "Denoising", "Recommender", "Training")


def test_every_control_has_a_label(page):
    "In every tab: nothing takes the keyboard without words that say what it is."
    for title in TABS:
        open_tab(page, title)
        boxes = page.locator(".widget-inline-hbox:not(.widget-html):visible")
        assert boxes.count() > 0
        for box in boxes.all():
            label = box.locator("label, .widget-label").first.inner_text().strip()
            assert label or "checkbox" in box.get_attribute("class")
        for button in page.locator("button.jupyter-button:visible").all():
            assert button.inner_text().strip()
        for image in page.locator("img:visible").all():
            assert image.get_attribute("alt")
        assert trouble(page) == []


def test_spectrum(page):
    "Runs, stages, epoch, kind, both axes and the noise curve."
    open_tab(page, "Spectrum")
    assert press(page, "Up to epoch", "ArrowLeft") == {"picture", "table"}
    assert press(page, "Table is taken", "ArrowDown") == {"picture", "table"}
    assert press(page, "Stages", "Home") == {"picture", "table"}
    for label in ("Logarithmic directions", "Logarithmic values", "Noise curve"):
        assert press(page, label, "Space") == {"picture"}
        assert press(page, label, "Space") == {"picture"}


def test_map(page):
    "Table, method, colour, an item by its title, and how many neighbours."
    open_tab(page, "Map")
    assert "picture" in press(page, "Method", "ArrowDown")
    page.wait_for_selector("img[alt*='t-SNE of the item table, random']:visible", timeout=WAIT)
    page.wait_for_function("!document.body.innerText.includes('until then')", timeout=WAIT)
    assert press(page, "Colour", "ArrowDown") == {"picture"}
    assert press(page, "Item table of", "ArrowDown") == {"picture", "table"}
    assert press(page, "Neighbours", "ArrowLeft") == {"picture", "table"}
    assert press(page, "Words of a title", "Control+a", *"horror 7") == {"picture", "table"}
    page.wait_for_selector("caption:visible:has-text('Horror 7')", timeout=WAIT)
    page.wait_for_selector("img[alt*='nearest to Horror 7']:visible", timeout=WAIT)


def test_noise(page):
    "User, schedule, T, t, per token or per sequence, draw."
    open_tab(page, "Noise")
    keys = {"User": "ArrowRight", "Schedule": "ArrowDown", "Steps T": "ArrowRight"}
    keys |= {"Step t": "ArrowLeft", "Steps are drawn": "ArrowDown", "Draw number": "ArrowRight"}
    for label, key in keys.items():
        assert "picture" in press(page, label, key), label


def test_denoising(page):
    "User, steps, noise weight, noise and the step that is looked at."
    open_tab(page, "Denoising")
    keys = {"User": "ArrowRight", "Noise weight": "ArrowRight", "Noise number": "ArrowRight"}
    for label, key in keys.items():
        assert "table" in press(page, label, key), label
    for label in ("Show the guess", "Denoising steps"):
        assert press(page, label, "ArrowLeft") == {"picture", "table"}, label
    assert "true next item" in shown(page)[1]


def test_an_open_fold_stays_open(page):
    "Opened and closed by keyboard; a control changes what is in it, and leaves it open."
    open_tab(page, "Denoising")
    fold, content = page.locator("details:visible"), page.locator(".adrec-folded:visible")
    assert (fold.count(), content.count()) == (1, 0)
    fold.locator("summary").press("Enter")
    content.wait_for(timeout=WAIT)
    before = content.inner_text()
    assert "table" in press(page, "Noise number", "ArrowRight")
    assert content.is_visible() and content.inner_text() != before
    fold.locator("summary").press("Enter")
    content.wait_for(state="hidden", timeout=WAIT)


def test_recommender(page):
    "A history typed, added to, taken back and emptied by keyboard."
    open_tab(page, "Recommender")
    control(page, "Words of a title").focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("western 3")
    page.wait_for_selector("option:has-text('Western 3')", state="attached", timeout=WAIT)

    def button(text):
        before = shown(page)
        page.get_by_role("button", name=text).focus()
        page.keyboard.press("Enter")
        return before

    added, complaint = "ol:visible li:has-text('Western 3')", '[role="alert"]:visible'
    before = button("Add to the history")
    page.wait_for_selector(added, timeout=WAIT)
    page.wait_for_function(f"src => {PANELS} != src", arg=before[0], timeout=WAIT)
    assert press(page, "Recommendations", "ArrowLeft") == {"picture", "table"}
    button("Take the last one back")
    page.wait_for_selector(added, state="detached", timeout=WAIT)
    assert trouble(page) == []
    button("Start anew")
    page.wait_for_selector(f'{complaint}:has-text("history is empty")', timeout=WAIT)
    button("Add to the history")
    page.wait_for_selector(complaint, state="detached", timeout=WAIT)


def test_training_of_a_finished_run(page):
    "The live view shows what a run has noted."
    open_tab(page, "Training")
    assert press(page, "Table is taken", "ArrowDown") == {"picture", "table"}


STATES = {
    "Spectrum": ("Start against end", "Standardised", "First directions only"),
    "Map": ("Random table", "Trained beside random"),
    "Noise": ("Entries of size 0.1", "T = 16 never reaches noise", "As trained"),
    "Denoising": ("λ = 1: do they now?", "First guess", "Published λ"),
    "Recommender": ("Three of drama", "Reverse the history"),
    "Training": ("Raw: with what all items share", "Standardised: beside noise"),
}


@pytest.mark.parametrize("title", STATES)
def test_buttons_set_a_telling_state(page, title):
    "By keyboard; each changes the picture, and a verdict says in a word what is seen."
    open_tab(page, title)
    assert page.locator("text=What to look for:").filter(visible=True).count() == 1
    for text in STATES[title]:
        before = shown(page)
        page.get_by_role("button", name=text).focus()
        page.keyboard.press("Enter")
        page.wait_for_function(f"src => {PANELS} != src", arg=before[0], timeout=WAIT)
        page.wait_for_timeout(300)
        assert trouble(page) == []
        assert re.match(r"[✔▲✖≈] \w", page.locator('div[role="status"]:visible').inner_text())


@pytest.mark.parametrize("width, height", [(1280, 800), (1920, 1080), (390, 844)])
def test_nothing_is_cut_off(page, width, height):
    "Controls beside the picture on a wide screen, above it on a narrow one; nothing sticks out."
    old = page.viewport_size
    page.set_viewport_size({"width": width, "height": height})
    for title in TABS:
        open_tab(page, title)
        box = picture(page).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width, title
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        first = page.locator(".widget-inline-hbox:not(.widget-html):visible").nth(1).bounding_box()
        beside = box["x"] > first["x"] + 100
        assert beside == (width > 1000), title
    page.set_viewport_size(old)


WATCH = """() => {
    const box = PICTURE.closest('.widget-html');
    const src = () => box.querySelector('img')?.getAttribute('src');
    let start = null, before = src();
    window.changes = [];
    document.addEventListener('keydown', () => {
        start = performance.now();
        before = src();
    }, true);
    new MutationObserver(() => {
        if (start === null || !src() || src() == before) return;
        window.changes.push(performance.now() - start);
        start = null;
    }).observe(box, {subtree: true, childList: true, attributes: true});
}""".replace("PICTURE", PICTURE)


def test_spectrum_answers_at_once(page):
    "Ten keys, ten pictures; how soon is printed (`-s`): asserted, it would test the machine."
    open_tab(page, "Spectrum")
    for label, key in (("Stages", "Home"), ("Up to epoch", "End")):
        control(page, label).focus()  # the first stage has a spectrum for each epoch
        page.keyboard.press(key)
        page.wait_for_timeout(2000)
    page.evaluate(WATCH)
    for i, key in enumerate(("ArrowLeft", "ArrowRight") * 5):
        page.keyboard.press(key)
        page.wait_for_function("n => window.changes.length == n", arg=i + 1, timeout=WAIT)
    times = page.evaluate("window.changes")
    span = f"{min(times):.0f} to {max(times):.0f} ms"
    print(f"spectrum explorer, change to picture: median {np.median(times):.0f} ms, {span}")


def test_a_run_without_diffusion(page):
    "Turned to SASRec+: two explorers say that there is nothing to show, the others show it."
    control(page, "Run").select_option("plain")
    for title in TABS:
        open_tab(page, title)
        mute = title in ("Noise", "Denoising")
        lines = page.locator('p[role="alert"]:visible')
        if mute:
            lines.first.wait_for(timeout=WAIT)
        else:
            picture(page).wait_for(timeout=WAIT)
        assert [("sasrec has no diffusion" in line) for line in trouble(page)] == [True] * mute


def gone(process):
    "Whether a process has ended, be it that nobody has asked for its exit code yet."
    psutil = pytest.importorskip("psutil", reason="no Voila: pip install 'adrec-nb[lab]'")
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_app_from_the_command_line(browser, run, tmp_path):
    "With a damaged run and no run: lines, no traceback. SIGTERM to it alone leaves no process."
    import psutil

    shutil.copytree(run.dir, tmp_path / "cut")
    (tmp_path / "cut" / "best.safetensors").write_bytes(b"cut")
    port = free_port()
    command = [sys.executable, "-m", "adrec_nb.cli", "app", "cut", "none"]
    command += [f"--port={port}", "--no-browser"]
    with Server(command, f"http://127.0.0.1:{port}/", tmp_path) as server:
        view = browser.new_page()
        view.goto(server.url, timeout=WAIT)
        view.wait_for_selector('[role="alert"]', timeout=WAIT)
        lines = view.locator('p[role="alert"]').all_inner_texts()
        text = view.locator("body").inner_text()
        started = psutil.Process(server.process.pid).children(recursive=True)
        os.kill(server.process.pid, signal.SIGTERM)
        code = server.process.wait(30)
        view.close()
    parts = ("best.safetensors", "no such run directory", "no run to show")
    assert len(lines) == 3 and all(part in line for part, line in zip(parts, lines, strict=True))
    assert len(started) >= 2  # the server and a kernel
    assert all(gone(process) for process in started)
    log = server.log.read_text()
    assert code == 130 and "interrupted" in log and "Traceback" not in text + log


RUNNING = """() => [...document.querySelectorAll('.jp-InputPrompt')]
    .some(prompt => /\\[(\\*|\\d+)\\]/.test(prompt.innerText))"""


def run_all(view):
    "Run All Cells, until a cell runs: a click that comes too early is lost without a word."
    idle = '.jp-Notebook-ExecutionIndicator[data-status="idle"]'
    for _ in range(12):
        view.wait_for_selector(idle, timeout=WAIT)
        view.get_by_role("menuitem", name="Run", exact=True).click()
        view.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        try:
            view.wait_for_function(RUNNING, timeout=10_000)
            return
        except sync_api.TimeoutError:
            view.keyboard.press("Escape")
    raise AssertionError("no cell of the notebook runs")


def test_jupyterlab(browser, run, tmp_path):
    "The same explorer in JupyterLab: move a slider, see the picture change. And a map to touch."
    folder, port = tmp_path / "nbs", free_port()
    folder.mkdir()
    source = "from adrec_nb.explorers import SpectrumExplorer\nfrom adrec_nb.runs import load_run\n"
    source += "from adrec_nb.touch import touch_map\n"
    source += f"run = load_run({str(run.dir)!r})\ndisplay(touch_map(run))\n"
    source += "SpectrumExplorer({'ring': run})"
    notebook(folder / "spectrum.ipynb", source)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1"]
    command += [f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=secret"]
    command += ["--allow-root", "--LabApp.news_url=None"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    with Server(command, f"http://127.0.0.1:{port}/", folder) as server:
        view = browser.new_page(viewport={"width": 1200, "height": 1400})
        view.goto(f"{server.url}lab/tree/spectrum.ipynb?token=secret&reset", timeout=WAIT)
        run_all(view)
        view.wait_for_selector("img[alt]", timeout=WAIT)
        before = view.locator("img[alt]").first.get_attribute("src")
        view.locator(".widget-slider .noUi-handle").first.focus()
        view.keyboard.press("ArrowLeft")
        another = "src => document.querySelector('img[alt]').getAttribute('src') != src"
        view.wait_for_function(another, arg=before, timeout=WAIT)
        touch = view.frame_locator("iframe[title^='Items of']")
        touch.get_by_label("All of a label").focus(timeout=WAIT)
        view.keyboard.press("ArrowDown")
        touch.get_by_text("10 items selected").wait_for(timeout=WAIT)
        assert trouble(view) == []
        view.close()
