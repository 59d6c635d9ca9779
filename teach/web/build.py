"""Build the site: course, labs, library, reference, teaching kit and the page without a kernel.

    python teach/web/build.py runs/site

Everything Sphinx reads is laid out first, in a folder beside the site (runs/site_source), from the
files of the project; the addresses are those of settings.ini. Warnings are errors, and at the end
every link of the built site is followed.
"""

import argparse
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent), str(ROOT / "tests"), str(ROOT)]

import slides
import student
from web import formulas, links, mend, pages

# ---- from the library ----


def save_halves(figure, folder, name, dpi):
    "A figure of two panels as two pictures: a telephone shows one below the other."
    file = io.BytesIO()
    figure.savefig(file, dpi=dpi)
    whole = Image.open(file)
    middle = whole.width // 2
    whole.crop((0, 0, middle, whole.height)).save(folder / f"{name}_left.png")
    whole.crop((middle, 0, whole.width, whole.height)).save(folder / f"{name}_right.png")


def draw_figures(folder):
    "Two small runs of the package as maps and spectra; what the front page says of them."
    from adrec_nb import verdict
    from adrec_nb.demo import demo_dataset, demo_run
    from adrec_nb.plots_items import item_map, plot_item_maps
    from adrec_nb.plots_spectra import Curve, plot_curve_panels
    from adrec_nb.spectra import table_spectra

    folder.mkdir(parents=True)
    runs = {"both losses": demo_run("healthy"), "the squared error alone": demo_run("merged")}
    labels, maps, curves, verdicts, hits = demo_dataset().item_labels[1:], [], [], [], []
    for name, run in runs.items():
        table = run.model.embedding.weight.detach()[1:]  # (N, D)
        maps.append((*item_map(table), labels, None, None, (), name))
        curves.append(Curve(name, table_spectra(table), tuple(table.shape)))
        verdicts.append(f"**{name}**: {verdict(table)}")
        hits.append(round(100 * run.metrics["HR@10"]))
    save_halves(plot_item_maps(maps), folder, "map", dpi=150)
    save_halves(plot_curve_panels(curves), folder, "spectrum", dpi=200)
    return {"verdicts": verdicts, "healthy_hits": hits[0], "merged_hits": hits[1]}


def write_playground(source):
    "The explorers as a page without a kernel, and the page of the site that frames it."
    extra = source / "_extra"
    extra.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "adrec_nb.cli", "page", "-o", str(extra / "explorers.html")]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    shutil.copy(HERE / "playground.md", source / "playground.md")


def write_kit(root, source, place):
    "Slides, handout and student notebooks, as files beside the pages."
    extra = source / "_extra"
    slides.write_all(extra / "slides")
    folder = source.parent / f"{source.name}_student"
    student.write_all(root, folder, place.source("nbs/library"))
    shutil.make_archive(str(extra / "student"), "zip", folder)
    shutil.rmtree(folder)


# ---- all of it ----


def lay_out(root, source):
    "Everything that Sphinx reads, in an empty folder."
    place = pages.place_of(root)
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    pages.write_notebooks(root, source, place)
    pages.write_wings(root, source, place)
    pages.write_teaching(root, source, place)
    pages.write_front(root, source, place, draw_figures(source / "_figures"))
    pages.write_reference(root, source, place)
    pages.write_commands(source)
    write_playground(source)
    write_kit(root, source, place)
    shutil.copytree(HERE / "static", source / "_static")
    formulas.write_font(source / "_static" / "stix-two-math.woff")
    shutil.copy(HERE / "conf.py", source / "conf.py")


def run_sphinx(root, source, out):
    "Sphinx, with warnings as errors; its exit code."
    shutil.rmtree(out, ignore_errors=True)
    options = ["-W", "--keep-going", "-q", "-j", "auto", "-d", str(source / "_doctrees")]
    command = [sys.executable, "-m", "sphinx", "-b", "html", *options, str(source), str(out)]
    code = subprocess.run(command, env=os.environ | {"ADREC_NB_ROOT": str(root)}).returncode
    for template in (out / "_static").glob("*-macros.html"):  # left there by the theme
        template.unlink()
    for page in out.rglob("*.html"):
        words = page.read_text(encoding="utf-8")
        page.write_text(mend.mended(words), encoding="utf-8")
    return code


def main():
    "Lay out, build, follow every link."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder of the site; it is emptied first")
    out = parser.parse_args().out.resolve()
    source = out.with_name(f"{out.name}_source")
    lay_out(ROOT, source)
    if code := run_sphinx(ROOT, source, out):
        print(f"Sphinx found something wrong, see above; it read {source}", file=sys.stderr)
        return code
    code = links.report(out)
    print(f"{out / 'index.html'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
