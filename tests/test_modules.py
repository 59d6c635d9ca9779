"How the modules hang together: who may import whom, and what an import costs."

import ast
import re
import subprocess
import sys

import pytest

import adrec_nb

LONGEST = 450  # lines of a module
SECONDS = 0.3  # for `import adrec_nb`
PUBLIC = [
    "load_dataset",
    "train",
    "load_run",
    "evaluate",
    "compare",
    "ADRec",
    "ADRecConfig",
    "SASRec",
    "Popularity",
    "collapse_report",
    "verdict",
    "plot_spectra",
]


def module_files(root):
    "The library's modules by name, the package's own files left out."
    files = (root / "adrec_nb").glob("*.py")
    return {path.stem: path for path in sorted(files) if path.stem[0] != "_"}


def order(root):
    "The modules as CONTRIBUTING.md lists them: each imports only from those before it."
    text = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("## The order of the modules")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    return [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[2])]


def imported(path, known):
    "The modules of this package that a module imports, at its top or inside a function."
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("adrec_nb.")]
            found |= {name.split(".")[1] for name in names}
        elif isinstance(node, ast.ImportFrom):
            place = (node.module or "").split(".")
            if node.level == 0:
                place = place[1:] if place[0] == "adrec_nb" else None
            if place is not None and place != [""] and place:
                found.add(place[0])
            elif place is not None:  # from adrec_nb import a_module
                found |= {alias.name for alias in node.names}
    return found & known


def test_order_names_every_module_once(root):
    "No module is missing from the table, and none is there that does not exist."
    assert sorted(order(root)) == sorted(module_files(root))


def test_modules_import_only_what_comes_before(root):
    "So there is no cycle; an import inside a function counts as well."
    files, places = module_files(root), {name: i for i, name in enumerate(order(root))}
    wrong = []
    for name, path in files.items():
        for other in imported(path, set(files)):
            if places[other] >= places[name]:
                wrong.append(f"{name} imports {other}")
    assert wrong == []


def test_modules_are_short(root):
    "So that each can be read at one sitting."
    files = module_files(root)
    lines = {name: len(path.read_text().splitlines()) for name, path in files.items()}
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}


# ---- what an import costs ----


def python(code, *options):
    "What a fresh process prints to its two streams."
    command = [sys.executable, *options, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_the_package_is_there_at_once():
    "Nothing is loaded before it is asked for."
    times = []
    for _ in range(3):  # the best of three: a busy machine is not the package's fault
        _, report = python("import adrec_nb", "-X", "importtime")
        (line,) = re.findall(r"(\d+) \| adrec_nb$", report, re.M)
        times.append(int(line) / 1e6)
        assert not set(re.findall(r"\| +(\w+)", report)) & {"torch", "numpy", "pandas"}
    assert min(times) < SECONDS


def test_public_names():
    "Each comes from its home when it is asked for, and dir() knows them before."
    assert adrec_nb.__all__ == PUBLIC
    shown, _ = python("import adrec_nb; print(*dir(adrec_nb))")
    assert set(PUBLIC) <= set(shown.split())
    code = "from adrec_nb import *; print(*(f'{one.__module__}.{one.__name__}' for one in ("
    shown, _ = python(code + ", ".join(PUBLIC) + ")))")
    assert [one.split(".")[-1] for one in shown.split()] == PUBLIC
    assert {one.split(".")[0] for one in shown.split()} == {"adrec_nb"}


def test_no_public_name_is_a_module(root):
    "Else importing the module would put it in the place of the name."
    assert set(adrec_nb.__all__) & module_files(root).keys() == set()


def test_unknown_name():
    "It is an ordinary AttributeError."
    with pytest.raises(AttributeError, match="no attribute 'colapse'"):
        adrec_nb.colapse  # noqa: B018


@pytest.mark.parametrize(
    "module, unwanted",
    [
        ("packing", ["pandas", "torch", "matplotlib"]),
        ("models", ["pandas", "matplotlib"]),
        ("family", ["pandas", "matplotlib"]),
        ("training", ["pandas", "matplotlib"]),
    ],
)
def test_light_modules(module, unwanted):
    "Neither a model nor its training needs tables or pictures."
    shown, _ = python(f"import sys, adrec_nb.{module}; print(*sys.modules)")
    assert {name.split(".")[0] for name in shown.split()} & set(unwanted) == set()
