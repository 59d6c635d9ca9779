"""The cells marked `#| cuda` of a notebook, without nbdev and Jupyter.

A notebook's code is run from its first cell on, as `nbdev_test` does, in this process.
"""

import json
import linecache
import os
import re
import sys
import time
import types
from pathlib import Path

import numpy as np

_FLAG = re.compile(r"^#\| *(.+)$", re.M)
_MAGIC = re.compile(r"^(\s*)[%!].*$", re.M)


def code_cells(path):
    "The code cells of a notebook: number, flags, source."
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            yield number, set(_FLAG.findall(source)), _MAGIC.sub(r"\1pass", source)


def cuda_cells(path):
    "The numbers of a notebook's cells for a GPU."
    return [number for number, flags, _ in code_cells(path) if "cuda" in flags]


def with_cuda_cells(root):
    "{notebook: numbers of its cells for a GPU}, the library's before the labs', which take longer."
    found = sorted((root / "nbs").rglob("*.ipynb"), key=lambda p: (p.parent.name == "labs", p))
    pairs = ((path.relative_to(root).as_posix(), cuda_cells(path)) for path in found)
    return {place: numbers for place, numbers in pairs if numbers}


# ---- what the notebooks' tests need of fastcore, where it is not installed ----


def same(a, b):
    "Whether two values are equal, arrays and tensors number by number."
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if hasattr(a, "shape") or hasattr(b, "shape"):
        return np.shape(a) == np.shape(b) and bool(np.all(np.asarray(a) == np.asarray(b)))
    return a == b


def test_eq(a, b):
    "AssertionError unless both are equal."
    assert same(a, b), f"==:\n{a}\n{b}"


def test_close(a, b, eps=1e-5):
    "AssertionError unless both are within eps."
    assert np.allclose(np.asarray(a), np.asarray(b), rtol=0, atol=eps), f"close:\n{a}\n{b}"


def test_fail(f, msg="", contains="", args=None, kwargs=None):
    "AssertionError unless f raises an error that contains the text."
    try:
        f(*(args or []), **(kwargs or {}))
    except Exception as error:
        assert contains in str(error), f"{contains!r} is not in {str(error)!r}"
        return
    raise AssertionError(f"nothing was raised. {msg}")


def stand_in():
    "Put these three where notebooks import them from, if fastcore is not installed."
    try:
        import fastcore.test  # noqa: F401
    except ImportError:
        package, module = types.ModuleType("fastcore"), types.ModuleType("fastcore.test")
        module.test_eq, module.test_close, module.test_fail = test_eq, test_close, test_fail
        package.test = module
        sys.modules |= {"fastcore": package, "fastcore.test": module}


# ---- running ----


def last_line(error):
    "What an error says, in one line."
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else ''}"[:300]


def _run(source, name, namespace):
    "Run a cell; errors name it."
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    exec(compile(source, name, "exec"), namespace)


def run_cells(path, here=True):
    "(number, status, reason, seconds) of each cell for a GPU; `here`: whether there is one."
    wanted = cuda_cells(path)
    if not here:
        yield from ((number, "skipped", "needs a GPU", None) for number in wanted)
        return
    stand_in()
    module = types.ModuleType("__main__")
    module.display = lambda *things: None
    sys.modules["__main__"] = module
    path = Path(path).resolve()
    os.chdir(path.parent)
    first = None  # what went wrong before
    for number, flags, source in code_cells(path):
        if number > wanted[-1]:
            return
        on_gpu, begun = number in wanted, time.monotonic()
        if not on_gpu and (flags & {"slow"} or any(flag.startswith("eval") for flag in flags)):
            continue
        try:
            _run(source, f"{path.name}, cell {number}", module.__dict__)
        except Exception as error:
            said = last_line(error)
            if on_gpu and isinstance(error, NameError) and first:
                yield number, "skipped", first, None
            elif on_gpu:
                yield number, "failed", said, time.monotonic() - begun
            first = first or f"cell {number} before it: {said}"
        else:
            if on_gpu:
                yield number, "passed", None, time.monotonic() - begun
