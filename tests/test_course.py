"The frame of chapters and labs: what a learner finds in each, in the same place."

import ast
import json
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from conftest import ROOT, notebooks
from test_style import cells_of, source_of

from adrec_nb.checking import CheckFailed

FRAMED = [path for path in notebooks() if path.parts[1] == "course"]
FRAMED += [path for path in notebooks() if path.name[:3] in ("01_", "07_") and path not in FRAMED]
# Letters of the formulas, as LaTeX writes them; each that occurs stands in the table of letters.
SYMBOLS = {
    r"\\bar\\alpha": "alpha bar",
    r"\\beta": "beta",
    r"\\lambda": "lambda",
    r"\\varepsilon": "epsilon",
    r"\\sigma": "sigma",
    r"\\hat ?(\{x\}|x)_0": "x0_hat",
    r"(?<!\\hat )(?<!\{)\bx_0": "x_0",
    r"\bx_t": "x_t",
    r"\bT\b": "T",
    r"\bD\b": "D",
    r"\bN\b": "N",
    r"\bL\b": "L",
    r"\bE\b(?!\[)": "E",
}
FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$\n]+(?:\n[^$\n]+)?\$", re.S)
LEVEL = re.compile(r"^\*Level [123] of 3, about \d+ minutes?\.\*$", re.M)


@pytest.fixture(params=FRAMED, ids=str)
def framed(request):
    "The cells of a chapter, or of a lab with exercises."
    return cells_of(ROOT / request.param)


def prose(cells):
    "All markdown."
    return "\n\n".join(source_of(cell) for cell in cells if cell["cell_type"] == "markdown")


def tags(cell):
    "The tags of a cell."
    return cell["metadata"].get("tags", [])


def part(text, heading):
    "What stands under a heading of the second order."
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return found[1] if found else ""


def frame_cell(cells):
    "The cell that opens a notebook."
    found = [one for one in map(source_of, cells[:4]) if one.startswith("**You will be able to**")]
    assert found, "one of the first cells opens with **You will be able to**"
    return found[0]


# ---- the frame ----


def test_frame_at_the_start(framed):
    "Objectives, minutes, what one needs, letters."
    opening = frame_cell(framed)
    assert len(re.findall(r"^- ", opening, re.M)) >= 3, "three objectives or more"
    flat = " ".join(opening.split())
    assert re.search(r"\*\*Time\*\*: about \d+ minutes to read.*CPU.*GPU", flat), flat
    assert re.search(r"\*\*You need\*\*: .{10}", flat)
    assert "**Letters**" in opening and "| letter | in the code | what it is |" in opening


def test_every_symbol_is_in_the_table(framed):
    "No letter of a formula is left to guess."
    opening = frame_cell(framed)
    table = opening[opening.index("**Letters**") :]
    formulas = " ".join(FORMULA.findall(prose(framed)))
    missing = [
        name
        for pattern, name in SYMBOLS.items()
        if re.search(pattern, formulas) and not re.search(pattern, table)
    ]
    assert missing == []


def test_frame_at_the_end(framed):
    "A summary, a question with every choice answered, exercises, links back and forth."
    text = prose(framed)
    assert len(re.findall(r"^- ", part(text, "What you have seen"), re.M)) >= 3
    question = part(text, "A question")
    assert question.count("<details>") == question.count("</details>") >= 3
    assert all(len(one) > 30 for one in re.findall(r"</summary>(.*?)</details>", question, re.S))
    assert re.search(r"\]\(.*\.ipynb\)", source_of(framed[-1])), "the last cell links on"


def pictures(cell):
    "The pictures that a cell has stored."
    return [one for one in cell.get("outputs", []) if "image/png" in one.get("data", {})]


def test_every_picture_has_a_text(notebook, root):
    "For who cannot see it: in the cell's metadata, or in the <img> that the cell shows."
    for number, cell in enumerate(cells_of(root / notebook)):
        if cell["cell_type"] == "code" and pictures(cell):
            assert len(cell["metadata"].get("alt", "")) > 55, f"cell {number}"
        html = json.dumps([one.get("data", {}).get("text/html") for one in cell.get("outputs", [])])
        for image in re.findall(r"<img [^>]*>", html):
            assert re.search(r'alt=\\"[^"]{30,}\\"', image), f"cell {number}: {image[:90]}"


# ---- exercises ----


def exercises(cells):
    "(text, stub, solution, check) of each exercise; a text and a solution may fill several cells."
    found = []
    for number, cell in enumerate(cells):
        if "stub" not in tags(cell):
            continue
        before = prose(cells[:number])
        text = before[before.rindex("\n### ") + 1 :]
        end = next(n for n in range(number + 1, len(cells)) if "solution" not in tags(cells[n]))
        solution = "\n\n".join(map(source_of, cells[number + 1 : end]))
        assert solution, f"no solution after cell {number}"
        found.append((text, source_of(cell), solution, source_of(cells[end])))
    return found


def functions_of(code):
    "The names of the functions and classes that a cell defines."
    return {node.name for node in ast.parse(code).body if hasattr(node, "name")}


def test_exercises(framed):
    "Three or more, each with a level, minutes, a hint in a fold, a stub, a solution and a check."
    found = exercises(framed)
    assert len(found) >= 3
    for text, stub, solution, check in found:
        title = text.splitlines()[0]
        assert title.startswith("### "), title
        assert LEVEL.search(text), title
        assert "<summary>Hint</summary>" in text, title
        assert re.search(r"^check_\w+\(", check, re.M), title
        asked, answered = map(functions_of, (stub, solution))
        assert asked and asked <= answered, title


def imported(cells):
    "A namespace with what the notebook's cells import."
    space = {}
    for cell in cells:
        if cell["cell_type"] == "code" and "google.colab" not in source_of(cell):
            tree = ast.parse(re.sub(r"^(\s*)[%!].*", r"\1pass", source_of(cell), flags=re.M))
            body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
            exec(compile(ast.Module(body, []), "imports", "exec"), space)
    return space


def test_every_stub_fails(framed):
    "A check that passes on an empty answer checks nothing."
    space = imported(framed)
    for text, stub, _, check in exercises(framed):
        exec(stub, space)
        with pytest.raises(CheckFailed):
            exec(check, space)
            pytest.fail(f"passes without an answer: {text.splitlines()[0]}")


# ---- the student's notebooks ----


def test_students_notebooks(root, tmp_path):
    "Solutions and answers are gone; up to the first stub the notebook is the teacher's."
    sys.path.insert(0, str(root / "teach"))
    from student import write_all

    written = write_all(root, tmp_path, "https://example.org/library")
    assert len(written) == len(list((root / "nbs").glob("[cl][oa][ub][rs]*/*.ipynb")))
    for path in written:
        mine = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert not [cell for cell in mine if "solution" in tags(cell)]
        shown = json.dumps([cell.get("outputs") for cell in mine])
        assert "exercises of" not in shown, "a check's answer is shown"
        teachers = cells_of(root / "nbs" / path.relative_to(tmp_path))
        stubs = [number for number, cell in enumerate(mine) if "stub" in tags(cell)]
        upto = stubs[0] if stubs else len(mine)
        code = [
            [source_of(cell) for cell in cells[:upto] if cell["cell_type"] == "code"]
            for cells in (mine, teachers)
        ]
        assert code[0] == code[1]
