"""Write the students' notebooks: course and labs without the solutions of their exercises.

    python teach/student.py runs/student

The notebooks of nbs/course and nbs/labs are the teacher's: every exercise has a stub, a solution
and a check. Here the solutions are gone and so are the checks' answers; the rest is as it was.
"""

import argparse
import re
import shutil
import sys
from pathlib import Path

import nbformat
from nbconvert.preprocessors import TagRemovePreprocessor

ROOT = Path(__file__).resolve().parents[1]
WINGS = ("course", "labs")
LIBRARY = re.compile(r"\]\(\.\./library/")
CHECK = re.compile(r"^check_\w+\(", re.M)


def without_solutions(
    nb,  # a teacher's notebook
    library,  # the address of the library's notebooks, which are not copied
):
    "The student's notebook."
    remove = TagRemovePreprocessor(remove_cell_tags={"solution"})
    nb, _ = remove.preprocess(nb, {})
    for cell in nb.cells:
        cell.source = LIBRARY.sub(f"]({library}/", cell.source)
        if cell.cell_type == "code" and CHECK.search(cell.source):
            cell.outputs = []
    return nb


def write_all(root, out, library):
    "All student notebooks, in folders as the teacher's, and what the labs read; their places."
    written = []
    for wing in WINGS:
        for path in sorted((root / "nbs" / wing).glob("*.ipynb")):
            nb = without_solutions(nbformat.read(path, as_version=4), library)
            place = out / wing / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(nb, place)
            written.append(place)
    results = root / "nbs" / "labs" / "results"
    shutil.copytree(results, out / "labs" / "results", dirs_exist_ok=True)
    return written


def main():
    "Write them and say where."
    sys.path.insert(0, str(ROOT / "tests"))
    from address import settings_of

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder to write")
    args = parser.parse_args()
    where = settings_of(ROOT)
    place = f"{where['user']}/{where['repo']}/blob/{where['tag']}/nbs/library"
    written = write_all(ROOT, args.out, f"https://github.com/{place}")
    print(f"{len(written)} notebooks without solutions in {args.out}")


if __name__ == "__main__":
    sys.exit(main())
