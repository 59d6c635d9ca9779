"The teaching kit: links lead somewhere, minutes add up, slides and handout need no network."

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from conftest import ROOT
from test_style import cells_of, source_of

sys.path.insert(0, str(ROOT / "teach"))
import slides

PAGES = sorted((ROOT / "teach").glob("*.md"))
LINK = re.compile(r"\]\(([^)#\s]+)(?:#([^)\s]+))?\)")
MINUTES = {"50": 50, "90": 90, "180": 180, "day": 390}


def headings(path):
    "The anchors of a notebook, as Jupyter makes them."
    sources = [source_of(cell) for cell in cells_of(path) if cell["cell_type"] == "markdown"]
    titles = [title for source in sources for title in slides.HEADING.findall(source)]
    return {title.replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page):
    "Every link is a file, and every anchor a heading in it."
    for place, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / place).resolve()
        assert target.is_file(), place
        assert not anchor or anchor in headings(target), f"{place}#{anchor}"


@pytest.mark.parametrize("plan", slides.PLANS)
def test_minutes(plan):
    "A plan fills its time and no more."
    text = (ROOT / "teach" / f"plan_{plan}.md").read_text(encoding="utf-8")
    minutes = [int(number) for number in re.findall(r"^\| (\d+) \|", text, re.M)]
    assert sum(minutes) == MINUTES[plan]


def test_slides(tmp_path):
    "Each plan has its slides; they load nothing, and their pictures are described."
    written = slides.write_all(tmp_path)
    assert len(written) == len(slides.PLANS) + 1
    for page in written:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r'(src|href)="(?!data:|#)', text), page.name
        assert text.count("<img") == len(re.findall(r'<img alt="[^"]+"', text))
        assert "$" not in re.sub(r"<script.*?</script>", "", text, flags=re.S), "a raw formula"
    counts = {
        plan: page.read_text(encoding="utf-8").count('<section id="slide-')
        for plan, page in zip(slides.PLANS, written, strict=False)
    }
    assert 10 <= counts["50"] < counts["90"] < counts["180"] <= 40, counts


@pytest.mark.parametrize(
    "source, problem",
    [
        ("../nbs/course/07_collapse.ipynb", "expected PATH#HEADING"),
        ("../nbs/course/07_collapse.ipynb#No such thing", "0 of kind figure"),
        ("../nbs/course/07_collapse.ipynb#The picture@9", "1 of kind figure"),
    ],
)
def test_a_picture_that_is_not_there(source, problem):
    "A heading that was renamed is noticed."
    with pytest.raises(ValueError, match=problem):
        slides.find("figure", source)
