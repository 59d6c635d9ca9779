"""Write the slides of each plan, and the handout, as pages that need no network.

    python teach/slides.py runs/slides

slides.md holds the words; figures and code come from the notebooks as they are stored, so they
cannot drift apart. A slide begins with `## Title` and has a line `plans: 50 90 180 day`. A line
`figure: ../nbs/course/07_collapse.ipynb#The picture` takes the first picture under that heading
(`@2` the second), `code: …` its first code, and `note: …` is for the teacher alone (key n).
"""

import argparse
import base64
import html
import io
import re
import sys
from pathlib import Path

import nbformat
from jinja2 import Template
from nbconvert.filters import Highlight2HTML
from nbconvert.filters.markdown_mistune import MarkdownWithMath
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
from run_notebook import Formulas

PLANS = {
    "50": "Collapse: caused, seen, cured",
    "90": "Diffusion recommenders, and what is left of the noise",
    "180": "Diffusion recommenders: build one, break one, mend one",
    "day": "Diffusion recommenders in a day",
}
SOURCE = re.compile(r"^(?P<path>[^#@]+)#(?P<heading>[^@]+)(?:@(?P<number>\d+))?$")
FIELD = re.compile(r"^(plans|figure|code|note): *(.+)$", re.M)
HEADING = re.compile(r"^#{1,6} (.+)$", re.M)


def under(nb, heading):
    "The cells below a heading, up to the next one."
    found, inside = [], False
    for cell in nb.cells:
        titles = HEADING.findall(cell.source) if cell.cell_type == "markdown" else []
        if titles:
            inside = heading in titles
        elif inside:
            found.append(cell)
    return found


def stored_pictures(cell):
    "The pictures of a cell as <img>: those drawn, and those that it shows as HTML."
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "image/png" in data:
            yield f'<img src="data:image/png;base64,{data["image/png"].strip()}">'
        yield from re.findall(r"<img [^>]+>", data.get("text/html", ""))


def find(kind, source):
    "A picture or a piece of code of a notebook, as HTML. ValueError where there is none."
    parts = SOURCE.match(source.strip())
    if not parts:
        raise ValueError(f"{source}: expected PATH#HEADING or PATH#HEADING@NUMBER")
    nb = nbformat.read(HERE / parts["path"], as_version=4)
    cells = [cell for cell in under(nb, parts["heading"]) if cell.cell_type == "code"]
    if kind == "figure":
        found = [picture for cell in cells for picture in stored_pictures(cell)]
    else:
        shown = [re.sub(r"^#\|.*\n", "", cell.source, flags=re.M) for cell in cells]
        found = [Highlight2HTML()(code.strip()) for code in shown]
    number = int(parts["number"] or 1)
    if len(found) < number:
        raise ValueError(f"{source}: {len(found)} of kind {kind} under that heading")
    return found[number - 1]


def framed(picture, words):
    "A picture with an alternative text; below the words where it is twice as wide as high."
    data = re.search(r"base64,([^\"]+)", picture)[1]
    width, height = Image.open(io.BytesIO(base64.b64decode(data))).size
    kind = ' class="wide"' if width > 1.9 * height else ""
    alone = re.sub(r' (alt|width|height|style)="[^"]*"', "", picture)
    alone = alone.replace("<img", f'<img alt="{html.escape(words, quote=True)}"', 1)
    return f"<figure{kind}>{alone}</figure>"


def read_slide(text):
    "A slide's fields: title, plans, body as HTML, notes."
    title, _, rest = text.partition("\n")
    fields = FIELD.findall(rest)
    words = FIELD.sub("", rest).strip()
    words = MarkdownWithMath(renderer=Formulas(escape=False)).render(words)
    body = f"<div class=\"words\">{words}</div>"
    for kind, value in fields:
        if kind == "figure":
            body += framed(find(kind, value), title)
        if kind == "code":
            body += find(kind, value)
    plans = " ".join(value for kind, value in fields if kind == "plans").split()
    notes = [value for kind, value in fields if kind == "note"]
    return {"title": title.strip(), "plans": plans, "body": body, "notes": notes}


def read_slides(path):
    "All slides of a file."
    parts = re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.M)[1:]
    return [read_slide(part) for part in parts]


def write_all(out):
    "A page for each plan, and the handout; their places."
    out.mkdir(parents=True, exist_ok=True)
    slides, written = read_slides(HERE / "slides.md"), []
    template = Template((HERE / "slides.html").read_text(encoding="utf-8"), autoescape=False)
    for plan, title in PLANS.items():
        mine = [slide for slide in slides if plan in slide["plans"]]
        place = out / f"slides_{plan}.html"
        place.write_text(template.render(title=title, slides=mine), encoding="utf-8")
        written.append(place)
    text = (HERE / "handout.md").read_text(encoding="utf-8")
    body = MarkdownWithMath(renderer=Formulas(escape=False)).render(text)
    sheet = Template((HERE / "handout.html").read_text(encoding="utf-8"), autoescape=False)
    place = out / "handout.html"
    place.write_text(sheet.render(body=body), encoding="utf-8")
    return [*written, place]


def main():
    "Write them and name them."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder to write")
    for place in write_all(parser.parse_args().out):
        print(place)


if __name__ == "__main__":
    sys.exit(main())
