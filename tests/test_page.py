"The page that `make demo` leaves: it is to be read where there is no network."

import re
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

sys.path.insert(0, str(Path(__file__).parent))
from run_notebook import Formulas, MarkdownWithMath, Page

LINES = r"$$\begin{aligned}a &= b_1 \\ c &< d\end{aligned}$$"


def page_of(*cells):
    "The page of a notebook with these cells."
    page, _ = Page().from_notebook_node(new_notebook(cells=list(cells)))
    return page


def test_formulas_need_no_script():
    "They are MathML in the page; nothing is run and nothing is fetched."
    shown = page_of(new_markdown_cell(rf"Noise $\bar\alpha_t < 1$, and {LINES}"))
    assert shown.count("<math") == 2 and 'display="block"' in shown
    assert "$" not in re.search(r"<body.*</body>", shown, re.S)[0]
    assert "<script" not in shown and not re.search(r"(src|href)=[\"']https?:", shown)


def test_dollars_in_code_stay():
    "Only formulas are formulas."
    shown = page_of(new_code_cell("price = '$5 and $6'"), new_markdown_cell("`echo $HOME $PATH`"))
    assert "<math" not in shown
    assert "$5 and $6" in shown and "echo $HOME $PATH" in shown


def test_every_formula_of_the_notebooks(notebook, root):
    "It can be converted: no dollar is left outside code."
    for cell in nbformat.read(root / notebook, as_version=4).cells:
        if cell.cell_type == "markdown":
            shown = MarkdownWithMath(renderer=Formulas(escape=False)).render(cell.source)
            prose = re.sub(r"<(code|pre)\b.*?</\1>|<math.*?</math>", "", shown, flags=re.S)
            assert "$" not in prose, prose
