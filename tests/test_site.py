"The site: what is done to notebooks, links and modules, and, where Sphinx is there, all of it."

import html
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from conftest import ROOT, notebooks

sys.path.insert(0, str(ROOT / "teach"))
from web import formulas, links, mend, pages, reference, stage

PLACE = stage.Place(
    user="somebody",
    repo="something",
    tag="v9",
    pages={
        "nbs/course/01_data.ipynb": "course/01_data.ipynb",
        "nbs/library/packing.ipynb": "library/packing.ipynb",
        "adrec_nb/data.py": "api/data.md",
        "README.md": "index.md",
    },
    files=frozenset({"tests/address.py", "nbs/labs/results", "nbs/labs/results/main.json"}),
)
CHAPTER = "nbs/course/01_data.ipynb"
REPOSITORY = "https://github.com/somebody/something"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAoAAAAFCAYAAAB8ZH1o"  # the head of one, ten dots wide


# ---- links ----


@pytest.mark.parametrize(
    "link, expected",
    [
        ("../library/packing.ipynb", "../library/packing.ipynb"),
        ("../library/packing.ipynb#A-heading", "../library/packing.ipynb#A-heading"),
        ("../../adrec_nb/data.py", "../api/data.md"),
        ("../../README.md", "../index.md"),
        ("../../tests/address.py", f"{REPOSITORY}/blob/v9/tests/address.py"),
        ("../labs/results/main.json", f"{REPOSITORY}/blob/v9/nbs/labs/results/main.json"),
        ("../labs/results", f"{REPOSITORY}/tree/v9/nbs/labs/results"),
        ("https://example.org/a.ipynb", "https://example.org/a.ipynb"),
        ("#Below", "#Below"),
    ],
)
def test_a_link(link, expected):
    "It leads to a page of the site, else to the repository; addresses elsewhere stay."
    assert stage.with_links(f"See [it]({link}).", CHAPTER, PLACE) == f"See [it]({expected})."


def test_what_is_no_link():
    "Code stays as it is, and a link that leads nowhere is noticed."
    code = "`f(x)[0](../a.py)`\n\n```python\ntable[1](../b.py)\n```\n"
    assert stage.with_links(code, CHAPTER, PLACE) == code
    with pytest.raises(ValueError, match="01_data.ipynb: gone.ipynb leads nowhere"):
        stage.with_links("[here](gone.ipynb)", CHAPTER, PLACE)


def test_no_address_of_its_own(settings):
    "After `make address` no file of the site names the old place: all of it is in settings.ini."
    for file in (ROOT / "teach" / "web").rglob("*.*"):
        if file.suffix in (".py", ".md", ".css"):
            words = file.read_text(encoding="utf-8")
            assert f"{settings['user']}/{settings['repo']}" not in words, file
            assert f"{settings['user']}.github.io" not in words, file


# ---- notebooks ----


def code_cell(source, outputs=(), **metadata):
    "A cell of code."
    return {
        "cell_type": "code",
        "source": source,
        "outputs": list(outputs),
        "metadata": metadata,
    }


def shown(*cells):
    "The cells as the site shows them."
    return stage.site_notebook({"cells": list(cells)}, CHAPTER, PLACE)["cells"]


def test_hidden_cells_and_directives():
    "Neither is seen; a cell of directives alone neither."
    hidden = code_cell("#| hide\nimport sys")
    export = code_cell("#| export\n#| slow\ndef f(): ...")
    (cell,) = shown(hidden, code_cell("#| default_exp data"), export)
    assert cell["source"] == "def f(): ..."
    assert export["source"].startswith("#| export"), "the notebook itself stays as it is"


def test_folds():
    "A solution is folded with what it shows, imports alone are; a stub and other code are not."
    cells = shown(
        code_cell("...", tags=["stub"]),
        code_cell("x = 1", tags=["solution"]),
        code_cell("import sys\nfrom a import b"),
        code_cell("import sys\nx = 1"),
    )
    tags = [cell["metadata"].get("tags", []) for cell in cells]
    folded = [[tag for tag in one if tag.startswith("hide-")] for one in tags]
    assert folded == [[], ["hide-cell"], ["hide-input"], []]
    assert "solution" in tags[1], "our own tag stays"
    assert cells[1]["metadata"]["mystnb"]["code_prompt_show"] == "Show the solution"


def test_pictures():
    "The alternative text of the cell, or where it stands; larger than in the notebook."
    output = {"output_type": "display_data", "data": {"image/png": PNG}, "metadata": {}}
    heading = {"cell_type": "markdown", "source": "## Spectra\nLook.", "metadata": {}}
    plain = code_cell("b", [output])
    _, one, other = shown(heading, code_cell("a", [output], alt="A line."), plain)
    assert one["metadata"]["mystnb"]["image"] == {"alt": "A line.", "width": "14px"}
    assert "Spectra" in other["metadata"]["mystnb"]["image"]["alt"]


def test_widgets_and_progress_bars():
    "An explorer says where it can be played with; a bar is gone; styles of a table too."
    view = "application/vnd.jupyter.widget-view+json"
    explorer = {"data": {view: {}, "text/plain": "MapExplorer(children=(HTML()))"}}
    bar = {"data": {view: {}, "text/plain": "reading: 100k events"}}
    table = {"data": {"text/html": "<style scoped>td {}</style><table></table>"}}
    (cell,) = shown(code_cell("show()", [explorer, bar, table]))
    first, second = (output["data"]["text/html"] for output in cell["outputs"])
    assert 'href="../playground.html"' in first
    assert second == "<table></table>"


def test_markdown_cells():
    "The badge becomes a link to Colab, and what a fold holds is read as Markdown."
    badge = "[![Open in Colab](https://x.org/b.svg)](https://colab.research.google.com/a)"
    fold = "<details><summary>Hint</summary>Take $x$.</details>"
    source = f"# Data\n> Purpose\n\n{badge}\n\n{fold}"
    (cell,) = shown({"cell_type": "markdown", "source": source, "metadata": {}})
    where = "https://colab.research.google.com/github/somebody/something/blob/v9"
    assert f'href="{where}/nbs/course/01_data.ipynb"' in cell["source"]
    assert "x.org" not in cell["source"]
    assert "</summary>\n\nTake $x$.\n\n</details>" in cell["source"]


def test_every_notebook_can_be_shown():
    "All links of all notebooks lead somewhere, and no line for nbdev is left."
    place = pages.place_of(ROOT)
    for path in notebooks():
        nb = nbformat.read(ROOT / path, as_version=4)
        for cell in stage.site_notebook(nb, path.as_posix(), place)["cells"]:
            assert cell["cell_type"] == "markdown" or not re.search(r"^#\|", cell["source"], re.M)


def test_every_formula_can_be_shown():
    "Each becomes MathML in which nothing of its source is left."
    found = 0
    for path in notebooks():
        for cell in nbformat.read(ROOT / path, as_version=4).cells:
            prose = re.sub(r"```.*?```|`[^`]*`", "", cell.source, flags=re.S)
            if cell.cell_type == "markdown":
                for latex in re.findall(r"\$\$(.+?)\$\$", prose, re.S):
                    shape = formulas.mathml(latex, "block")
                    assert "\\" not in shape, f"{path}: {latex}"
                    found += 1
    assert found > 40
    assert '<mi>log</mi><mspace width="0.17em"/><mi>x</mi>' in formulas.mathml(r"\log x")


def listed(folder):
    "The pages that tables of contents name, from the top."
    for page in folder.rglob("*.md"):
        for tree in re.findall(r"^```{toctree}\n(.*?)^```", page.read_text("utf-8"), re.M | re.S):
            for entry in tree.split("\n\n", 1)[1].split("\n"):
                name = re.sub(r".*<(.*)>", r"\1", entry)
                yield (page.parent / name).relative_to(folder).as_posix() if name else ""


def test_pages_without_sphinx(tmp_path):
    "What is taken from README, CONTRIBUTING and teach/ is still there; each page is in a table."
    place = pages.place_of(ROOT)
    figures = {"verdicts": ["one", "two"], "healthy_hits": 71, "merged_hits": 30}
    pages.write_wings(ROOT, tmp_path, place)
    pages.write_teaching(ROOT, tmp_path, place)
    pages.write_front(ROOT, tmp_path, place, figures)
    pages.write_reference(ROOT, tmp_path, place)
    pages.write_commands(tmp_path)
    front = (tmp_path / "index.md").read_text(encoding="utf-8")
    assert "pip install" in front and "load_dataset(" in front and "| adrec-paper |" in front
    found = [name for name in listed(tmp_path) if name]
    assert len(found) == len(set(found)), "a page stands in one table of contents"
    written = {path.relative_to(tmp_path).with_suffix("") for path in tmp_path.rglob("*.md")}
    written |= {Path(page).with_suffix("") for page in place.pages.values()}
    written |= {Path("playground"), Path("command_line")}
    assert {Path(name) for name in found} == written - {Path("index")}


# ---- the reference ----


def test_reference_names_everything():
    "Every module, and every name in its __all__, defined or passed on."
    modules = reference.modules(ROOT / "adrec_nb")
    assert sorted(modules) == sorted(p.stem for p in (ROOT / "adrec_nb").glob("[a-z]*.py"))
    for name, module in modules.items():
        page = reference.page(module, modules, "x.ipynb", "https://x.org")
        for one in module.names:
            head = rf"^`+{{py:{one.kind}}} {one.name}\b"
            assert re.search(head, page, re.M), f"{name}.{one.name}"
        for one in module.passed_on:
            assert f"[`{one}`](#adrec_nb." in page, f"{name}.{one}"


def test_reference_of_a_function(tmp_path):
    "Arguments with the comments behind them; a method without self; a name passed on."
    (tmp_path / "__init__.py").write_text('_HOMES = {"Box": "made"}\n')
    (tmp_path / "made.py").write_text(
        '"""Made up"""\n__all__ = ["f", "LIMIT", "g"]\n'
        "from .other import g\n"
        "# How far.\nLIMIT = 3\n"
        "def f(\n    n: int,  # how many\n    *,\n    k: 'int' = 2,\n) -> 'int':  # the sum\n"
        '    "Adds `n` up. ValueError for a_b."\n    return n\n'
        "class Box:\n"
        "    width: int  # in dots\n\n"
        "    def turn(self, by):\n"
        '        "Turn it."\n'
    )
    (tmp_path / "other.py").write_text('__all__ = ["g"]\ndef g(x):\n    "The other."\n')
    modules = reference.modules(tmp_path)
    page = reference.page(modules["made"], modules, "x.ipynb", "https://x.org")
    assert "{py:function} f(n: int, *, k: int=2) -> int" in page
    assert "| `` n `` | `` int `` |  | how many |" in page
    assert "| *gives* | `` int `` |  | the sum |" in page
    assert r"Adds `n` up. ValueError for a\_b." in page
    assert "{py:data} LIMIT" in page and "How far." in page
    assert "{py:method} Box.turn(by)" in page and "in dots" in page
    assert "[`g`](#adrec_nb.other.g)" in page
    (tmp_path / "made.py").write_text('__all__ = ["gone"]\n_HOMES = {}\n')
    with pytest.raises(ValueError, match="made.py: gone"):
        reference.read_module(tmp_path / "made.py")


def test_mended_pages():
    "The sidebar's button has a name, a long signature is no list; a real list stays one."
    toggle = '<summary><span class="toctree-toggle" role="x"></span></summary>'
    assert 'aria-label="Pages below"' in mend.mended(toggle)
    signature = '<dl>\n<dd><em class="sig-param">a</em>,</dd>\n<dd><em>b</em></dd>\n</dl>'
    assert "<dd>" not in mend.mended(signature)
    assert mend.mended(signature).count('<span class="parameter">') == 2
    a_list = "<dl><dt>a</dt><dd>b</dd></dl>"
    assert mend.mended(a_list) == a_list


# ---- the checker of links ----


def problems(folder, body):
    "What the checker finds in a page with this body."
    (folder / "index.html").write_text(f"<html><body id='top'>{body}</body></html>")
    return [one.why for one in links.check(folder)[1]]


def test_links_that_hold(tmp_path):
    "Pages, anchors, pictures, data, and addresses elsewhere by their shape."
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a b.html").write_text("<p id='é'>x <a href='../index.html#top'>up</a>")
    body = "<a href='sub/a%20b.html#%C3%A9'>a</a><a href='#top'>b</a><a href='https://x.org'>c</a>"
    body += "<img alt='a dot' src='data:image/png;base64,AAAA'><a href='mailto:a@b.org'>d</a>"
    assert problems(tmp_path, body) == []
    assert links.check(tmp_path)[0] == 6


@pytest.mark.parametrize(
    "body, why",
    [
        ("<a href='gone.html'>x</a>", "no such file"),
        ("<a href='#gone'>x</a>", "no such anchor"),
        ("<a href='index.html#gone'>x</a>", "no such anchor"),
        ("<a href='/index.html'>x</a>", "an absolute path, which holds at one address only"),
        ("<a href='https://nohost/x'>x</a>", "no host"),
        ("<a href='javascript:f()'>x</a>", "a scheme that no reader can follow: javascript"),
        ("<a href='https://x.org/a b'>x</a>", "a space in it"),
        ("<script src='https://x.org/a.js'></script>", "loaded from elsewhere"),
        ("<img alt='x' src='https://x.org/a.png'>", "loaded from elsewhere"),
        ("<link rel='stylesheet' href='https://x.org/a.css'>", "loaded from elsewhere"),
        ("<iframe src='gone.html'></iframe>", "no such file"),
        ("<img src='index.html'>", "a picture without words"),
    ],
)
def test_links_that_break(tmp_path, body, why):
    "Each for its reason."
    assert problems(tmp_path, body) == [why]


# ---- all of it ----


def test_the_site(tmp_path, settings):
    "It is built without a warning, no link is broken, and its pages hold what they should."
    pytest.importorskip("myst_nb", reason="no Sphinx: make docs")
    command = [sys.executable, str(ROOT / "teach" / "web" / "build.py"), str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^0 broken links of \d\d,\d{3}$", done.stdout, re.M), done.stdout
    site = tmp_path / "site"
    for path in notebooks():
        page = pages.all_pages(ROOT)[path.as_posix()].replace(".ipynb", ".html")
        words = (site / page).read_text(encoding="utf-8")
        seen = html.unescape(words)
        assert "google.colab" not in words and "#| " not in words, page
        assert f"/blob/{settings['tag']}/{path.as_posix()}\"" in words, page
        assert not re.search(r"\$(<[^>]+>)*<math|</math>&#8288;\$", words), page
        for cell in nbformat.read(ROOT / path, as_version=4).cells:
            alt = cell.metadata.get("alt", "")
            assert alt in seen, f"{page}: {alt}"
    chapter = (site / "course" / "03_diffusion.html").read_text(encoding="utf-8")
    assert chapter.count("Show the solution") == 4
    assert "<iframe" in (site / "playground.html").read_text(encoding="utf-8")
    assert (site / "explorers.html").stat().st_size > 500_000
    assert (site / "slides" / "slides_50.html").is_file()
