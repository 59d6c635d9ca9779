"The style of notebooks, modules and tests, where a rule can be checked: CONTRIBUTING.md says why."

import ast
import json
import re
import subprocess
import sys
from statistics import median

import pytest

WIDTH = 100  # characters of a line
CELLS = 45  # of a chapter, before its summary, question and exercises
LONGEST = 25  # lines of a code cell in course and labs, blank ones and directives not counted
USUAL, LONG = 4, 15  # median and 95 % of the code cells' lines in course and labs
LARGEST = 300 * 1024  # bytes of a notebook, outputs included
TOGETHER = 6_500_000  # bytes of nbs/
MACHINE_PATH = re.compile(r"/(work|root|tmp|home|content|Users)/")
PORT = re.compile(r"(127\.0\.0\.1|localhost):\d")
WARNING = re.compile(r"\w*Warning: ")
BAR = re.compile(r"\d+%\||\d(it|epoch)/s|s/(it|epoch)\b")  # a progress bar, with its timing
UNBROKEN = re.compile(r"https?://|\]\(|\$\$")  # links, formulas of their own


def cells_of(path):
    "The cells of a notebook, as nbformat keeps them."
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def source_of(cell):
    "The text of a cell."
    return "".join(cell["source"])


def code_lines(source):
    "How many lines of it are code: neither blank nor a directive for nbdev."
    lines = (line.strip() for line in source.splitlines())
    return sum(bool(line) and not line.startswith("#|") for line in lines)


def code_of(path):
    "The code cells of a notebook as text, by number."
    found = enumerate(cells_of(path))
    return {number: source_of(cell) for number, cell in found if cell["cell_type"] == "code"}


# ---- lines ----


def test_ruff(root):
    "`make lint` finds nothing."
    command = [sys.executable, "-m", "ruff", "check", "--output-format", "concise"]
    done = subprocess.run(
        [*command, "nbs", "adrec_nb", "tests", "teach"], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def is_prose(line):
    "Whether a line of a markdown cell can be broken: no table, link, formula or single word."
    return not (line.startswith("|") or UNBROKEN.search(line) or " " not in line.strip())


def test_lines_of_prose(notebook, root):
    "They fit beside code. Tables, links and formulas cannot be broken."
    long = []
    for number, cell in enumerate(cells_of(root / notebook)):
        if cell["cell_type"] == "markdown":
            for line in source_of(cell).splitlines():
                if len(line) > WIDTH and is_prose(line):
                    long.append((number, line[:60]))
    assert long == []


def hand_written(path):
    "The lines of a file with their numbers; of a module, not the list of names that nbdev wraps."
    lines, generated = path.read_text(encoding="utf-8").splitlines(), False
    for number, line in enumerate(lines, 1):
        if line.startswith("# %%"):
            generated = line.startswith("# %% auto")
        if not generated:
            yield number, line


def test_lines_of_modules_and_tests(root):
    "Also those of the modules, which ruff leaves to the notebooks that they come from."
    long = []
    for path in sorted([*(root / "adrec_nb").glob("*.py"), *(root / "tests").glob("*.py")]):
        if path.stem != "_modidx":
            wide = [number for number, line in hand_written(path) if len(line) > WIDTH]
            long += [f"{path.name}, line {number}" for number in wide]
    assert long == []


# ---- cells ----


def test_cells_of_a_notebook(notebook, root):
    "A chapter has an end, and a cell is one thought."
    path, wing = root / notebook, notebook.parts[1]
    if wing == "library":  # the engineering: a class stays in one cell
        return
    if wing == "course":
        sources = [source_of(cell) for cell in cells_of(path)]
        ends = [n for n, one in enumerate(sources) if one.startswith("## What you have seen")]
        assert ends and ends[0] <= CELLS
    counts = {number: code_lines(source) for number, source in code_of(path).items()}
    assert {number: count for number, count in counts.items() if count > LONGEST} == {}


def test_cells_of_the_course(root):
    "Most are short: one line, one look."
    counts = []
    for wing in ("course", "labs"):
        for path in sorted((root / "nbs" / wing).glob("*.ipynb")):
            counts += [code_lines(source) for source in code_of(path).values()]
    counts.sort()
    assert median(counts) <= USUAL
    assert counts[int(0.95 * (len(counts) - 1))] <= LONG


def test_title_and_purpose(notebook, root):
    "The first cell says what the notebook is, and in one line what for."
    lines = source_of(cells_of(root / notebook)[0]).splitlines()
    assert lines[0].startswith("# ") and lines[1].startswith("> ") and len(lines) >= 2


# ---- stored outputs ----


def calls(node):
    "The calls that are made when a statement runs, with the blocks around each."
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        return
    if isinstance(node, ast.If | ast.Try):  # may not run at all
        return
    if isinstance(node, ast.With) and "redirect_std" in ast.unparse(node.items[0]):
        return
    if isinstance(node, ast.Call):
        yield node
    for child in ast.iter_child_nodes(node):
        yield from calls(child)


def name_of(call):
    "The last part of what is called."
    return getattr(call.func, "id", None) or getattr(call.func, "attr", "")


def shows(source):
    "Whether a cell prints or draws when it runs."
    if re.search(r"^#\| *(cuda|eval: *false)", source, re.M):
        return False
    body = ast.parse(re.sub(r"^(\s*)[%!].*", r"\1pass", source, flags=re.M)).body
    for call in (call for node in body for call in calls(node)):
        to_a_file = any(keyword.arg == "file" for keyword in call.keywords)
        if name_of(call) == "print" and not to_a_file:
            return True
        if ast.unparse(call.func) in ("plt.show", "display"):
            return True
    last = body[-1] if body else None
    if not isinstance(last, ast.Expr) or source.rstrip().endswith(";"):
        return False
    if isinstance(last.value, ast.Call):
        return name_of(last.value).startswith("plot_")
    return isinstance(last.value, ast.Name) and last.value.id in ("fig", "figure")


@pytest.mark.parametrize(
    "source, expected",
    [
        ("print(1)", True),
        ("for i in range(3):\n    print(i)", True),
        ("def f():\n    print(1)", False),
        ("print(1, file=log)", False),
        ("if False:\n    print(1)", False),
        ("with contextlib.redirect_stdout(out):\n    print(1)", False),
        ("x = 1\nplot_spectra(tables)", True),
        ("fig = plot_spectra(tables)", False),
        ("#| cuda\nprint(1)", False),
        ("fig", True),
        ("if here:\n    %pip install adrec-nb", False),
        ("assert plot_spectra(tables)", False),
    ],
)
def test_what_shows(source, expected):
    "The rule for the next test."
    assert shows(source) == expected


def test_nothing_is_stored_unexecuted(notebook, root):
    "What a cell prints or draws is there for the reader, before anything is run."
    silent = []
    for number, cell in enumerate(cells_of(root / notebook)):
        if cell["cell_type"] == "code" and shows(source_of(cell)) and not cell["outputs"]:
            silent.append(number)
    assert silent == []


def test_all_notebooks_together(root):
    "A clone stays small: pictures of few colours, results packed."
    files = [path for path in (root / "nbs").rglob("*.*") if "runs" not in path.parts]
    assert sum(path.stat().st_size for path in files if path.is_file()) < TOGETHER


def outputs(path):
    "Each output of a notebook with the number of its cell."
    for number, cell in enumerate(cells_of(path)):
        for output in cell.get("outputs", []):
            yield number, output


def test_stored_outputs(notebook, root):
    "They show what a reader should see: nothing of the machine that made them, no megabytes."
    path = root / notebook
    assert path.stat().st_size < LARGEST
    for number, output in outputs(path):
        assert output["output_type"] != "error", f"cell {number} ends in an error"
        assert output.get("name") != "stderr", f"cell {number} prints to standard error"
        data = output.get("data", {})
        words = [data[kind] for kind in data if kind not in ("image/png", "image/jpeg")]
        text = json.dumps([output.get("text"), words])
        for what in (MACHINE_PATH, PORT, WARNING, BAR):
            found = what.search(text)
            assert not found, f"cell {number} shows {found[0]}"
