"""Notebooks and pages as the site shows them; the files of the project stay as they are.

In a notebook's copy the cells hidden with `#| hide` and the lines that speak to nbdev are gone, a
solution is folded, a picture has its alternative text, and every link leads to a page of the site
or, where the site has none, to the repository. No function here needs Sphinx.
"""

import ast
import base64
import copy
import os
import re
import struct
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

DIRECTIVE = re.compile(r"^#\|.*\n?", re.M)
HIDDEN = re.compile(r"^#\| *hide\b", re.M)
BADGE = re.compile(r"\[!\[Open in Colab\]\([^)]*\)\]\([^)]*\)")
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]+)?(?=\))")
CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.M | re.S)
FOLD = re.compile(r"(<summary>.*?</summary>)\s*(.*?)\s*(</details>)", re.S)
HEADING = re.compile(r"^#+ (.+)$", re.M)
STYLE = re.compile(r"<style\b.*?</style>", re.S)
WIDGET = "application/vnd.jupyter.widget-view+json"
TAGS = {"solution": "hide-cell", "imports": "hide-input"}  # ours -> what MyST-NB folds
LARGER = 1.4  # how much a stored picture is enlarged: drawn for a notebook, its letters are small
ALONE = "The controls need a kernel: open this notebook in Colab, or play with "


@dataclass(frozen=True)
class Place:
    "Where the project lives, as settings.ini has it, and which of its files are pages of the site."

    user: str
    repo: str
    tag: str  # what Colab opens: a branch or a release
    pages: dict  # a file of the project -> the file Sphinx reads, both from their tops
    files: frozenset = frozenset()  # every other file and folder that may be linked to

    def colab(self, file: str) -> str:
        "The address at which Colab opens a notebook."
        where = f"{self.user}/{self.repo}/blob/{self.tag}/{file}"
        return f"https://colab.research.google.com/github/{where}"

    def source(self, file: str) -> str:
        "The address of a file, or of a folder, in the repository."
        kind = "blob" if PurePosixPath(file).suffix else "tree"
        return f"https://github.com/{self.user}/{self.repo}/{kind}/{self.tag}/{quote(file)}"

    def target(
        self,
        link: str,  # relative, without its anchor
        file: str,  # of the project, in which it stands
    ) -> str:
        "The link as a page of the site needs it. ValueError for a file that is not there."
        goal = os.path.normpath(f"{PurePosixPath(file).parent}/{link}")
        if goal in self.pages:
            here = PurePosixPath(self.pages[file]).parent
            return os.path.relpath(self.pages[goal], here)
        if goal not in self.files:
            raise ValueError(f"{file}: {link} leads nowhere")
        return self.source(goal)


def with_links(
    text: str,  # Markdown
    file: str,  # of the project, from which it comes
    place: Place,
) -> str:
    "The text with its links rewritten, but for what looks like one in code."

    def other(match):
        return place.target(match[1], file) + (match[2] or "")

    parts = CODE.split(text)
    parts[::2] = [LINK.sub(other, part) for part in parts[::2]]
    return "".join(parts)


def with_open_folds(text: str) -> str:
    "Blank lines around what a <details> holds: then it is read as Markdown, formulas included."
    return FOLD.sub(r"\1\n\n\2\n\n\3", text)


def with_button(text: str, file: str, place: Place) -> str:
    "A link to Colab, without a picture from elsewhere, in place of the badge."
    button = f'<a class="colab" href="{place.colab(file)}">Open in Colab</a>'
    return BADGE.sub(button, text)


def site_tags(tags: list) -> list:
    "A cell's tags, and what MyST-NB understands of them."
    return [*tags, *(TAGS[tag] for tag in tags if tag in TAGS)]


def site_output(output: dict, playground: str) -> dict | None:
    "An output without styles of its own; of a widget what it is; None for a progress bar."
    data = dict(output.get("data", {}))
    if WIDGET in data:
        if "(children=" not in "".join(data.get("text/plain", "")):
            return None
        link = f'<a href="{playground}">the same explorer in this site</a>'
        data = {"text/html": f'<p class="widget">{ALONE}{link}.</p>'}
    if "text/html" in data:
        data["text/html"] = STYLE.sub("", "".join(data["text/html"]))
    return output | {"data": data} if data else output


def prompts(what: str) -> dict:
    "What a fold says."
    return {f"code_prompt_{one}": f"{one.title()} the {what}" for one in ("show", "hide")}


def only_imports(code: str) -> bool:
    "Whether a cell does nothing but import, and perhaps set plots or threads up."
    try:
        nodes = ast.parse(code).body
    except SyntaxError:  # a line for IPython
        return False
    beside = ("_all_", "plt.style", "torch.set_num_threads")
    kinds = {type(node) for node in nodes if not ast.unparse(node).startswith(beside)}
    return bool(kinds) and kinds <= {ast.Import, ast.ImportFrom}


def picture_width(png: str) -> int:
    "How wide a stored picture is, in dots."
    return struct.unpack(">I", base64.b64decode(png)[16:20])[0]


def site_code(cell: dict, heading: str, playground: str) -> dict | None:
    "A code cell as the site shows it; None where it is hidden, or holds directives alone."
    if HIDDEN.search(cell["source"]):
        return None
    cell = copy.deepcopy(cell)
    cell["source"] = DIRECTIVE.sub("", cell["source"]).strip("\n")
    if not cell["source"]:
        return None
    found = [site_output(one, playground) for one in cell["outputs"]]
    cell["outputs"] = [one for one in found if one is not None]
    meta, own = cell["metadata"], {}
    data = [one.get("data", {}) for one in cell["outputs"]]
    pictures = [one["image/png"] for one in data if "image/png" in one]
    if pictures:
        words = meta.get("alt", f"Picture of the section “{heading}”")
        width = round(LARGER * max(map(picture_width, pictures)))
        own["image"] = {"alt": words, "width": f"{width}px"}
    tags = meta.get("tags", [])
    if "solution" in tags:
        own |= prompts("solution")
    elif only_imports(cell["source"]) and not cell["outputs"]:
        own |= prompts("imports")
        tags = [*tags, "imports"]
    if tags:
        meta["tags"] = site_tags(tags)
    if own:
        meta["mystnb"] = own
    return cell


def site_notebook(
    nb: dict,  # as nbformat reads it
    file: str,  # its place in the project
    place: Place,
) -> dict:
    "The copy of a notebook that Sphinx reads."
    depth = len(PurePosixPath(place.pages[file]).parts) - 1
    playground, heading, cells = "../" * depth + "playground.html", "", []
    for cell in nb["cells"]:
        if cell["cell_type"] == "markdown":
            text = with_button(cell["source"], file, place)
            text = with_open_folds(with_links(text, file, place))
            heading = (HEADING.findall(text) or [heading])[-1]
            cells.append(cell | {"source": text})
        else:
            cells.append(site_code(cell, heading, playground))
    return nb | {"cells": [cell for cell in cells if cell is not None]}


def anchor(title: str) -> str:
    "The anchor of a heading, as Jupyter makes it: links in the notebooks use those."
    return title.replace(" ", "-")


def section(
    text: str,  # Markdown
    title: str,  # the heading's line, marks included
) -> str:
    "What stands under a heading, up to the next as high. ValueError where it is not there."
    marks = title.split(" ")[0]
    end = rf"(?=^#{{1,{len(marks)}}} |\Z)"
    found = re.search(rf"^{re.escape(title)}\n(.*?){end}", text, re.M | re.S)
    if not found:
        raise ValueError(f"no heading {title!r}")
    return found[1].strip() + "\n"
