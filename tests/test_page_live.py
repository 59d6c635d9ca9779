"""The page without a kernel, in a browser: from a disk, without a network, by keyboard.

Needs chromium and Playwright, as tests/test_browser.py does, and axe-playwright-python for one test
(`pip install axe-playwright-python`); without them these tests are skipped.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from chromium import CHROMIUM, FLAGS, sync_api

from adrec_nb.cli import main
from adrec_nb.demo import demo_run
from adrec_nb.page import page_html, page_runs
from adrec_nb.plots_walk import with_noise_weight
from adrec_nb.report import report_html
from adrec_nb.runs import load_run
from adrec_nb.synthetic import PlantedWorld, make_log
from adrec_nb.touch import touch_map
from adrec_nb.training import train

VIEWS = ("spectrum", "map", "noise", "denoise", "recommend")
SIZES = ((1280, 800), (1920, 1080), (390, 844))
PAIRS = ((32, 0.001), (7, 0.1), (32, 1.0))  # steps, lambda
KINDS = ("drama", "comedy", "crime", "western", "horror", "musical", "war", "fantasy")
# The shape of MovieLens 100K and its preset quick, on made-up users, trained for a moment.
LOG = make_log(220, PlantedWorld(1008, 8, 0.2, 1.0, KINDS), 25, 0).dataset("planted-world")
LARGE = dict(preset="quick", max_epochs=1, cosine_epochs=1, align_epochs=1, device="cpu")
FEW = make_log(90, PlantedWorld(40, 4, 0.2, 1.0, KINDS[:4]), 9, 0).dataset("planted")
SMALL = dict(dim=8, heads=2, max_len=12, batch_size=40, lr=0.01, max_epochs=2, cosine_epochs=2)
SMALL |= dict(validate_every=1, device="cpu")
WALK = dict(align_epochs=1, steps=8)
RUNS = {  # name -> model and settings of small runs that differ in what the page computes
    "sink": ("adrec", dict(padding="sink", **WALK)),
    "mask": ("adrec", dict(padding="mask", sampler="ddim", **WALK)),
    "cosine": ("adrec", dict(temperature=0.2, standardise=True, **WALK)),
    "token": ("adrec", dict(decoder="mlp", **WALK)),
    "idle": ("adrec", dict(noise_weight=0, steps=1, schedule=[1.0], align_epochs=1)),
    "unaligned": ("adrec", dict(pretrain_epochs=0, **WALK)),
    "next": ("next_item", dict(padding="sink")),
    "plain": ("sasrec", {}),
    "other": ("dreamrec", {}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "Where runs and pages are."
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def run(folder):
    "A run of the shape of MovieLens 100K."
    return train(LOG, run_dir=folder / "large", **LARGE)


@pytest.fixture(scope="module")
def page(folder, run):
    "Its page on disk; users are made up, since this world is not on disk."
    file = folder / "large.html"
    file.write_text(page_html(page_runs([run])), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def browser():
    "Headless Chromium."
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield chromium
        chromium.close()


class Opened:
    "A page opened from the disk with the network cut; what went wrong is noted."

    def __init__(self, browser, file, state="", size=(1280, 800), **settings):
        width, height = size
        sizes = {"viewport": {"width": width, "height": height}}
        self.context = browser.new_context(offline=True, **sizes, **settings)
        self.tab = self.context.new_page()
        self.trouble, self.asked = [], []
        self.tab.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.tab.on("console", lambda line: self.trouble.append(line.text))
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.goto(f"{Path(file).as_uri()}#{state}")
        assert self.tab.evaluate("window.adrec.ready")  # the page has been read to its end

    def __enter__(self):
        return self.tab

    def __exit__(self, kind, error, trace):
        self.context.close()
        if kind is None:
            assert self.trouble == []
            assert [url for url in self.asked if not url.startswith(("file:", "data:"))] == []


def address(tab):
    "What a reader would copy; changes are written into it a few times a second."
    tab.evaluate("window.adrec.state.write()")
    return tab.url


# ---- the model in the page ----


def scores_of(tab, histories, **how):
    "What the page computes, padding left out."
    ask = """([histories, how]) => histories.map((history) =>
        Array.from(window.adrec.scores(history, how)).slice(1))"""
    return np.array(tab.evaluate(ask, [histories, how]))


def some_histories(ds, count):
    "Users' histories as lists of numbers, among them one of one item and one that is too long."
    histories = [[int(item) for item in one] for one in ds.split("test")[0][: count - 2]]
    return [[1], [1 + i % ds.n_items for i in range(200)], *histories]


@pytest.mark.parametrize("steps, noise_weight", PAIRS)
def test_scores_equal_those_of_python(browser, page, run, steps, noise_weight):
    "For 200 histories, to 1e-4 (measured: 2e-6)."
    histories = some_histories(LOG, 200)
    assert len(histories) == 200
    model = with_noise_weight(run.model, noise_weight)
    expected = model.score(histories, steps=steps, generator="zero")[:, 1:].numpy()
    with Opened(browser, page) as tab:
        found = scores_of(tab, histories, steps=steps, noise_weight=noise_weight)
        padding = tab.evaluate("window.adrec.scores([1], {})[0] === -Infinity")
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert padding and expected.std() > 0.1


@pytest.fixture(scope="module")
def small_runs(folder):
    "Small runs by name, trained when they are asked for."
    made = {}

    def get(name):
        if name not in made:
            model, settings = RUNS[name]
            made[name] = train(FEW, model, folder / name, **SMALL, **settings)
        return made[name]

    return get


@pytest.mark.parametrize("name", [name for name in RUNS if name != "other"])
def test_every_model_the_page_knows(browser, folder, small_runs, name):
    "Both paddings, samplers and decoders, cosines, one step without noise, next-item models."
    run, file = small_runs(name), folder / f"{name}.html"
    file.write_text(page_html(page_runs([run])), encoding="utf-8")
    histories = some_histories(FEW, 20)
    expected = run.model.score(histories, generator="zero")[:, 1:].numpy()
    with Opened(browser, file, "view=recommend") as tab:
        np.testing.assert_allclose(scores_of(tab, histories), expected, rtol=0, atol=1e-4)
        for view in VIEWS:
            tab.evaluate("view => window.adrec.state.set({ view })", view)
            seen = tab.locator("#explorer .verdict, #explorer .missing").first
            assert len(seen.inner_text()) > 20, view
    if name in ("next", "plain"):
        with Opened(browser, file, "view=denoise") as tab:
            assert "no diffusion" in tab.locator(".missing").inner_text()


def test_plan_of_a_walk(browser, page, run):
    "The same steps and weights as in Python, for every number of steps."
    with Opened(browser, page) as tab:
        for steps in range(1, 33):
            found = tab.evaluate("steps => window.adrec.plan(steps)", steps)
            rows = [[one["t"], one["c1"], one["c2"], one["sigma"]] for one in found]
            expected = [step[:4] for step in run.model.diffusion.plan(steps)]
            np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-12)


def test_a_model_that_the_page_does_not_know(browser, folder, small_runs):
    "A page without it, and a line."
    file = folder / "other.html"
    pages = page_runs([small_runs("other"), small_runs("sink")])
    file.write_text(page_html(pages), encoding="utf-8")
    with Opened(browser, file, "view=recommend") as tab:
        assert "cannot compute a DreamRec" in tab.locator(".missing").inner_text()
        tab.evaluate("window.adrec.state.set({ view: 'noise' })")
        assert tab.locator("#explorer canvas").count() == 1
        tab.get_by_label("Run", exact=True).select_option("1")
        tab.evaluate("window.adrec.state.set({ view: 'recommend' })")
        assert tab.locator(".bars li").count() == 10


# ---- size and time ----


def test_size(page, run):
    "At most 8 MB for MovieLens 100K and its preset quick, and 4 MB without the model."
    without = len(page_html(page_runs([run], live=False)).encode())
    print(f"page {page.stat().st_size / 1e6:.2f} MB, without the model {without / 1e6:.2f} MB")
    assert page.stat().st_size < 8e6 and without < 4e6


PAINTED = """new Promise((found) => new PerformanceObserver((list) => {
    const [one] = list.getEntriesByName('first-contentful-paint');
    if (one) found(one.startTime);
}).observe({ type: 'paint', buffered: true }))"""


def test_time(browser, page):
    "First picture and a recommendation for 50 items, the best of five; both are printed (`-s`)."
    clock = """() => { const start = performance.now();
        window.adrec.scores(Array.from({length: 50}, (_, i) => i + 1), {});
        return performance.now() - start; }"""
    with Opened(browser, page) as tab:
        first = tab.evaluate(PAINTED)
        times = [tab.evaluate(clock) for _ in range(5)]
    print(f"first picture {first:.0f} ms, 50 items {min(times):.0f} to {max(times):.0f} ms")
    assert first < 3000  # a second on a machine that is not busy
    assert min(times) < 200


# ---- the page itself ----

PICTURES = """() => [...document.querySelectorAll('#explorer [role=img], #explorer .bars')]
    .map((one) => one.getAttribute('aria-label').replace(/\\s+/g, ' '))"""
OVER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_explorer_at_every_size(browser, page, size):
    "A picture with words, a verdict, nothing to the side, everything within the window's width."
    clipped = """() => [...document.querySelectorAll('#explorer svg.chart, canvas, select, input')]
        .filter((one) => one.getBoundingClientRect().right > innerWidth + 1
            || one.getBoundingClientRect().left < -1).length"""
    for view in VIEWS:
        with Opened(browser, page, f"view={view}", size) as tab:
            assert tab.evaluate(OVER) == 0, view
            assert tab.evaluate(clipped) == 0, view
            words = tab.evaluate(PICTURES)
            assert words and all(len(text) > 40 for text in words), view
            assert tab.locator("#explorer .verdict").inner_text()
            assert 2 <= tab.locator("[aria-label='Telling states'] button").count() <= 4


def test_every_telling_state_and_the_tour(browser, page):
    "Each changes what is seen or is where one is, and goes into the address; without an error."
    with Opened(browser, page) as tab:
        for view in VIEWS:
            tab.evaluate("view => window.adrec.state.set({ view })", view)
            group = tab.locator("[aria-label='Telling states'] button")
            seen = set()
            for i in range(group.count()):
                group.nth(i).click()
                seen.add(tab.evaluate(PICTURES)[0] + tab.locator(".verdict").inner_text())
            assert len(seen) >= 2, view
        tab.get_by_role("button", name="Take the tour").press("Enter")
        for step in range(1, 6):
            assert tab.locator(".tour h2").inner_text().startswith(f"{step} of 5: ")
            assert f"tour={step}" in address(tab)
            tab.get_by_role("button", name="Next" if step < 5 else "Finish").press("Enter")
        assert tab.locator(".tour").is_hidden()


def test_the_tour_tells_of_the_idle_noise(browser, page):
    "Its words are those of the run: the verdict is measured in the page."
    with Opened(browser, page, "view=denoise&tour=4") as tab:
        assert "λ = 0.001" in tab.locator(".tour p").inner_text()
        assert "Noise is idle" in tab.locator(".verdict").inner_text()


def test_the_tour_of_the_packages_own_page(browser, tmp_path):
    "`make page`: a table that began as noise, what became of it, one that merged, and the noise."
    file = tmp_path / "page.html"
    assert main(["page", "-o", str(file)]) == 0
    said = []
    with Opened(browser, file) as tab:
        tab.get_by_role("button", name="Take the tour").press("Enter")
        for step in range(5):
            said.append(tab.locator(".verdict strong").inner_text())
            hits = "30.17" if step == 2 else "70.83"
            assert f"HR@10 on test users {hits} %" in tab.locator("#facts").inner_text()
            tab.get_by_role("button", name="Next" if step < 4 else "Finish").press("Enter")
        assert tab.locator("#notes").inner_text() == ""  # it may be published
    words = [one.strip(". ") for one in said]
    assert words == ["Noise", "Healthy", "Merged", "Noise is idle", "Noise counts"]


def test_state_in_the_address(browser, page):
    "A link shows what its sender saw; controls write into it; nonsense in it does no harm."
    with Opened(browser, page, "view=denoise&lambda=0.3&steps=5&step=2") as tab:
        assert tab.get_by_label("Denoising steps").input_value() == "4"  # the fifth
        assert tab.locator("#explorer output").all_inner_texts()[0] == "0.3"
        tab.get_by_label("Denoising steps").press("ArrowLeft")
        assert "steps=4" in address(tab) and "lambda=0.3" in address(tab)
        tab.get_by_role("link", name="Item map").press("Enter")
        assert "view=map" in address(tab) and tab.locator("h2:visible").inner_text() == "Item map"
        tab.go_back()
        assert tab.locator("h2:visible").inner_text() == "Denoising"
    with Opened(browser, page, "view=nowhere&at=-7&lambda=x&item=1e9&history=0.-3.x&T=1") as tab:
        for view in VIEWS:
            tab.evaluate("view => window.adrec.state.set({ view })", view)
            assert tab.locator("#explorer .verdict").inner_text()


def test_one_explorer_alone(browser, page):
    "`only` leaves out the rest of the page, `hide` some controls or all."
    with Opened(browser, page, "only=denoise&hide=lambda,buttons") as tab:
        assert tab.locator("header.top").is_hidden() and tab.locator("#alone").is_hidden()
        assert tab.get_by_label("Noise weight").is_hidden()
        assert tab.get_by_label("Denoising steps").is_visible()
        assert tab.get_by_role("group", name="Telling states").is_hidden()
    with Opened(browser, page, "only=spectrum&hide=all") as tab:
        assert tab.locator("form").is_hidden()
        assert tab.locator("svg.chart").first.bounding_box()["width"] > 1100


def test_map_by_words_and_by_pointer(browser, page):
    "Completion by keyboard, titles on hover, from neighbour to neighbour by buttons."
    with Opened(browser, page, "view=map") as tab:
        field = tab.get_by_role("combobox", name="Find a title")
        field.fill("drama 10")
        assert tab.get_by_role("option").count() > 1
        field.press("ArrowDown")
        name = tab.locator("[role=option][aria-selected=true]").inner_text()
        field.press("Enter")
        assert tab.locator(".side h3").inner_text() == f"Nearest to {name}"
        assert "item=" in address(tab) and field.input_value() == name
        near = tab.locator(".near button").first
        other = near.inner_text()
        near.press("Enter")
        assert tab.locator(".side h3").inner_text() == f"Nearest to {other}"
        box = tab.locator("canvas").bounding_box()
        for share in np.linspace(0.1, 0.9, 40):
            tab.mouse.move(box["x"] + share * box["width"], box["y"] + 0.5 * box["height"])
            if tab.locator(".tip").is_visible():
                break
        assert "-" in tab.locator(".tip").inner_text()
        field.fill("no such title")
        assert "No title matches" in tab.locator(".search .none").inner_text()


def test_recommender_by_keyboard(browser, page):
    "A title is typed, completed and added; the list follows; the last one is taken out again."
    with Opened(browser, page, "view=recommend") as tab:
        before = tab.locator(".bars").inner_text()
        assert "Computed in this page" in tab.locator(".verdict").inner_text()
        field = tab.get_by_role("combobox", name="Add a title")
        field.focus()
        tab.keyboard.type("western-4")
        tab.keyboard.press("Enter")
        assert tab.locator(".chips li").count() == 5
        assert tab.locator(".bars").inner_text() != before
        assert field.input_value() == ""
        tab.locator(".chips button").last.press("Enter")
        assert tab.locator(".chips li").count() == 4
        tab.get_by_role("button", name="Empty").press("Enter")
        assert "history is empty" in tab.locator(".picture").inner_text()


def test_epochs_are_played_and_paused(browser, page):
    "On request only; with a longer pause for those who want less motion, and no transitions."
    with Opened(browser, page, "view=spectrum", reduced_motion="reduce") as tab:
        at = address(tab)
        tab.wait_for_timeout(1800)
        assert address(tab) == at  # nothing starts by itself
        play = tab.get_by_role("button", name="Play the epochs")
        duration = play.evaluate("one => getComputedStyle(one).transitionDuration")
        assert duration == "0s"
        play.press("Enter")
        tab.locator("#explorer output", has_text="pre-train, epoch 1").wait_for()
        tab.get_by_role("button", name="Pause").press("Enter")
        at = address(tab)
        tab.wait_for_timeout(1800)
        assert address(tab) == at


def test_light_and_dark(browser, page):
    "As the system has it, and by a button."
    back = "getComputedStyle(document.body).backgroundColor"
    with Opened(browser, page, color_scheme="dark") as tab:
        dark = tab.evaluate(back)
        tab.get_by_role("button", name="Change between light and dark").press("Enter")
        assert tab.evaluate(back) != dark and "theme=light" in address(tab)


def test_axe_finds_nothing_serious(browser, page):
    "Every explorer, light and dark, at the desk and on a phone."
    reason = "no axe: pip install axe-playwright-python"
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=reason)
    for view in VIEWS:
        for theme, size in (("light", SIZES[0]), ("dark", SIZES[2])):
            with Opened(browser, page, f"view={view}&theme={theme}&tour=1", size) as tab:
                found = axe.Axe().run(tab).response["violations"]
                grave = [one for one in found if one["impact"] in ("serious", "critical")]
                assert [(one["id"], one["nodes"][0]["html"]) for one in grave] == [], view


# ---- the map to touch ----


def test_touch_map(browser, folder):
    "What is measured of a selection agrees with NumPy; selected by pointer, by words and by label."
    reason = "no axe: pip install axe-playwright-python"
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=reason)
    run, file = demo_run("healthy"), folder / "touch.html"
    file.write_text(touch_map(run).page, encoding="utf-8")
    tab = browser.new_page(viewport={"width": 1000, "height": 800}, offline=True)
    tab.goto(file.as_uri())
    status, canvas = tab.get_by_role("status"), tab.locator("canvas")
    items = np.random.default_rng(0).permutation(200)[:50] + 1
    table = run.model.item_table[items].detach().half().double().numpy()
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    cosines = (unit @ unit.T)[~np.eye(50, dtype=bool)]
    found = tab.evaluate("items => window.adrec.measures(items)", items.tolist())
    np.testing.assert_allclose(found["cosine"], cosines.mean(), rtol=1e-5)
    values = np.linalg.svd(table - table.mean(0), compute_uv=False)
    np.testing.assert_allclose(found["singular"], values, rtol=1e-4)
    label, share, of_all = found["labels"][0]
    labels = run.items["labels"]
    assert share == np.mean([label in labels[item] for item in items])
    assert of_all == np.mean([label in one for one in labels[1:]])

    box = canvas.bounding_box()
    corners = [(0.99, 0.99), (0.01, 0.99), (0.01, 0.01), (0.99, 0.01)]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    tab.mouse.move(*places[-1])
    tab.mouse.down()
    for place in places:
        tab.mouse.move(*place)
    tab.mouse.up()
    assert "200 items selected" in status.inner_text()
    names, word = run.items["names"], run.items["names"][1].split()[0].lower()
    tab.get_by_label("Words of titles").press_sequentially(word)
    count = sum(word in name.lower() for name in names[1:])
    assert f"{count} items selected" in status.inner_text()
    tab.get_by_label("All of a label").focus()
    tab.keyboard.press("ArrowDown")
    assert f"{sum(label in one for one in labels)} items selected" in status.inner_text()
    assert axe.Axe().run(tab).response["violations"] == []
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.wait_for_function("document.querySelector('canvas').clientWidth < 360")
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    assert "items selected" in status.inner_text()
    tab.close()


# ---- the report ----


def test_report(browser, folder, small_runs):
    "Of any model a view or a line for each explorer; on a phone, in the dark, without the network."
    reason = "no axe: pip install axe-playwright-python"
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=reason)
    shown = [small_runs(name) for name in ("unaligned", "plain", "other")]
    file = folder / "report.html"
    file.write_text(report_html(shown, lambda run: (FEW, "")), encoding="utf-8")
    how = dict(viewport={"width": 390, "height": 844}, color_scheme="dark", offline=True)
    tab = browser.new_page(**how)
    tab.goto(file.as_uri())
    for run in shown:
        views = tab.locator(f"section:has(> h2:text-is('{run.dir.name}'))")
        lines = [line for line in views.locator("p").all_inner_texts() if "no diffusion" in line]
        assert len(lines) == 2 * (run.dir.name == "plain")
        assert views.locator("h3").count() == 5 and views.locator("img").count() >= 4
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    assert tab.evaluate("[...document.images].every(i => i.alt.length > 10 && i.naturalWidth)")
    assert axe.Axe().run(tab).response["violations"] == []
    tab.close()


# ---- the command ----


def test_command(run, tmp_path, capsys):
    "It writes the page and says what is missing; without the model it is smaller."
    for words in ([], ["--no-model"], ["--half"]):
        file = tmp_path / f"page{len(words)}.html"
        assert main(["page", str(run.dir), "-o", str(file), *words]) == 0
        said = capsys.readouterr().out
        assert "KB" in said and "Users are made up" in said
        assert ("without the model" in said) == ("--no-model" in words)


@pytest.mark.parametrize(
    "file, part",
    [
        ("config.json", "config.json"),
        ("spectra.npz", "spectra.npz"),
        ("metrics.jsonl", "metrics.jsonl"),
        ("items.json", "items.json"),
        ("best.safetensors", "best.safetensors"),
    ],
)
def test_damage_is_one_line(small_runs, tmp_path, capsys, file, part):
    "Cut short or missing: exit code 2, one line that names the file, and no page."
    copy = tmp_path / "cut"
    shutil.copytree(small_runs("sink").dir, copy)
    for change in (lambda: (copy / file).write_bytes(b"cut"), (copy / file).unlink):
        change()
        assert main(["page", str(copy), "-o", str(tmp_path / "page.html")]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert part in line and not (tmp_path / "page.html").exists()


def test_other_data_is_one_line(small_runs, tmp_path, capsys):
    "Data that is not there, or not the run's."
    rows = "".join(f"u{i % 9},{i % 7}\n" for i in range(99))
    (tmp_path / "log.csv").write_text("user,item\n" + rows)
    for where, part in (("nowhere.csv", "nowhere.csv"), (str(tmp_path / "log.csv"), "log.csv")):
        words = ["page", str(small_runs("sink").dir), "-o", str(tmp_path / "p.html")]
        assert main([*words, "--data", where]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert part in line


def test_movielens_says_what_may_not_be_done(browser, small_runs, tmp_path):
    "A page made from it is for one's own class, and shows it."
    copy = tmp_path / "films"
    shutil.copytree(small_runs("sink").dir, copy)
    config = (copy / "config.json").read_text().replace('"planted"', '"ml-100k.pkl"')
    (copy / "config.json").write_text(config)
    file = tmp_path / "films.html"
    file.write_text(page_html(page_runs([load_run(copy)])), encoding="utf-8")
    with Opened(browser, file, "only=map") as tab:
        assert "for your own class" in tab.locator("#notes").inner_text()
        assert tab.locator("#notes").is_visible()
