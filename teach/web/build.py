"""Build the site: course, labs, library, reference, teaching kit and the page without a kernel.

    python teach/web/build.py runs/site

Everything Sphinx reads is laid out first, in a folder beside the site (runs/site_source), from the
files of the project; the addresses are those of settings.ini. Warnings are errors, and at the end
every link of the built site is followed.
"""

import argparse
import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from jinja2 import Environment, StrictUndefined

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent), str(ROOT / "tests"), str(ROOT)]

import slides
import student
from web import formulas, links, reference, stage

# Pages of the site that are files of the project, beside every notebook: project -> Sphinx.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "nbs/index.ipynb": "story.ipynb",
    "teach/README.md": "teach/index.md",
    "teach/handout.md": "teach/handout.md",
}
TITLES = {"nbs/index.ipynb": "The story, and a quick start"}  # where the notebook's own will not do
FOLDERS = ("nbs", "adrec_nb", "data", "tests", "teach")
ROW = re.compile(r"^\| ([^|]+) \| ([^|]*`[^|]+) \|$", re.M)
COMMANDS_WIDTH = 92  # characters of a line of the command line's help
SLIDES = "Slides, handout, student notebooks"


# ---- where things are ----


def project_files(root):
    "Every file and folder of the project that a link may lead to."
    found = {path.name for path in root.iterdir() if path.is_file()} | set(FOLDERS)
    for folder in FOLDERS:
        for path in (root / folder).rglob("*"):
            found.add(path.relative_to(root).as_posix())
    return frozenset(found)


def all_pages(root):
    "A file of the project -> the page that Sphinx reads."
    pages = dict(PAGES)
    for path in sorted((root / "nbs").rglob("*.ipynb")):
        place = path.relative_to(root).as_posix()
        if not re.search(r"(^|/)[._]", place):
            pages.setdefault(place, place.removeprefix("nbs/"))
    for path in sorted((root / "teach").glob("plan_*.md")):
        pages[f"teach/{path.name}"] = f"teach/{path.name}"
    for path in sorted((root / "adrec_nb").glob("[a-z]*.py")):
        pages[f"adrec_nb/{path.name}"] = f"api/{path.stem}.md"
    return pages


def place_of(root):
    "The address of the project, its pages and its files."
    parser = configparser.ConfigParser()
    parser.read(root / "settings.ini", encoding="utf-8")
    own = {key: parser["DEFAULT"][key] for key in ("user", "repo", "tag")}
    return stage.Place(**own, pages=all_pages(root), files=project_files(root))


def colab_addresses(root):
    "A page of the site, without its ending -> where Colab opens its notebook."
    place = place_of(root)
    notebooks = {file: page for file, page in place.pages.items() if file.endswith(".ipynb")}
    return {page.removesuffix(".ipynb"): place.colab(file) for file, page in notebooks.items()}


def text(root, file):
    "A file of the project as text."
    return (root / file).read_text(encoding="utf-8")


def write(source, page, words):
    "A page for Sphinx."
    place = source / page
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(words, encoding="utf-8")


def toctree(entries, caption=""):
    "A table of contents that is seen in the sidebar only."
    head = "```{toctree}\n:hidden:\n" + (f":caption: {caption}\n" if caption else "")
    return head + "\n" + "\n".join(entries) + "\n```\n"


# ---- pages from the project's files ----


def write_notebooks(root, source, place):
    "Every notebook."
    for file, page in place.pages.items():
        if file.endswith(".ipynb"):
            nb = stage.site_notebook(nbformat.read(root / file, as_version=4), file, place)
            if file in TITLES:
                opening = nb["cells"][0]
                opening["source"] = re.sub(r"^# .+", f"# {TITLES[file]}", opening["source"])
            (source / page).parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(nbformat.from_dict(nb), source / page)


def titled(root, folder):
    "The notebooks of a folder as entries of a table of contents, with their numbers."
    for path in sorted((root / "nbs" / folder).glob("[0-9]*.ipynb")):
        title = nbformat.read(path, as_version=4).cells[0].source.splitlines()[0].lstrip("# ")
        yield f"{int(path.name[:2])} · {title} <{path.stem}>"


def write_wings(root, source, place):
    "What opens course, labs and library: the README's words, and the table of contents."
    readme = text(root, "README.md")
    library = [page for page in place.pages.values() if page.startswith("library/")]
    found = re.findall(r"\(nbs/library/(\w+)\.ipynb\)", readme)
    ordered = list(dict.fromkeys(found)) + sorted(Path(page).stem for page in library)
    entries = {
        "course": ("The course", list(titled(root, "course"))),
        "labs": ("The labs", list(titled(root, "labs"))),
        "library": ("The library", list(dict.fromkeys(ordered))),
    }
    for wing, (title, tree) in entries.items():
        pages = place.pages | {"README.md": f"{wing}/index.md"}
        here = stage.Place(place.user, place.repo, place.tag, pages, place.files)
        words = stage.with_links(stage.section(readme, f"### {title}"), "README.md", here)
        write(source, f"{wing}/index.md", f"# {title}\n\n{words}\n{toctree(tree)}")


def write_teaching(root, source, place):
    "Plans and handout, and where slides and student notebooks are."
    for file, page in place.pages.items():
        if page.startswith("teach/"):
            words = stage.with_links(text(root, file), file, place)
            write(source, page, words)
    made = [f'<li><a href="../slides/slides_{plan}.html">{title}</a></li>' for plan, title in slides.PLANS.items()]
    made.append('<li><a href="../slides/handout.html">The handout, to print</a></li>')
    made.append('<li><a href="../student.zip">Notebooks without solutions (zip)</a></li>')
    plans = [Path(page).stem for page in place.pages.values() if page.startswith("teach/plan_")]
    tail = f"\n## {SLIDES}\n\n<ul>\n" + "\n".join(made) + "\n</ul>\n\n"
    with open(source / "teach/index.md", "a", encoding="utf-8") as file:
        file.write(tail + toctree([*plans, "handout"]))


def first_table(words):
    "The first table of a text, with the line above it."
    found = re.search(r"^(?:[^|\n].*\n\n)?(?:\|.*\n)+", words, re.M)
    if not found:
        raise ValueError("README.md, What it reaches: no table")
    return found[0]


def code_block(words, language):
    "The first block of a language in a text."
    found = re.search(rf"^```{language}\n(.*?)^```", words, re.M | re.S)
    if not found:
        raise ValueError(f"README.md: no block of {language}")
    return found[1].strip()


def write_front(root, source, place, figures):
    "The front page, and the page of results behind it."
    readme = text(root, "README.md")
    results = stage.section(readme, "## What it reaches")
    other = stage.section(readme, "## Other ways")
    parser = configparser.ConfigParser()
    parser.read(root / "settings.ini", encoding="utf-8")
    template = Environment(undefined=StrictUndefined).from_string(
        (HERE / "front.md").read_text(encoding="utf-8")
    )
    trees = [
        toctree(["story", "course/index", "labs/index", "playground"], "Learn"),
        toctree(["teach/index"], "Teach"),
        toctree(["results", "command_line", "api/index"], "Use"),
        toctree(["library/index", "contributing"], "Change"),
    ]
    page = template.render(
        description=parser["DEFAULT"]["description"] + ".",
        place=place,
        figures=figures,
        install=code_block(other, "sh"),
        six_lines=code_block(other, "python"),
        results=first_table(results),
        trees="\n" + "\n".join(trees),
    )
    write(source, "index.md", page)
    words = stage.with_links(re.sub(r"<!--.*?-->", "", results), "README.md", place)
    write(source, "results.md", f"# What it reaches\n\n{words}")
    contributing = text(root, "CONTRIBUTING.md")
    write(source, "contributing.md", stage.with_links(contributing, "CONTRIBUTING.md", place))


# ---- pages from the library ----


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
    plot_item_maps(maps).savefig(folder / "maps.png", dpi=150)
    plot_curve_panels(curves).savefig(folder / "spectra.png", dpi=200)
    maps_alt = "Two maps of the same films on the same axes. Trained with both losses, films of a kind"
    maps_alt += " form patches far apart. Trained on the squared error alone, all kinds are mixed in one"
    maps_alt += " small cloud."
    spectra_alt = "Two spectra over the dashed noise curve, both axes logarithmic. With both losses five"
    spectra_alt += " directions stand well above the curve and the rest lies below it. With the squared"
    spectra_alt += " error alone one direction stands above it, and the rest follows the curve."
    return {
        "verdicts": verdicts,
        "healthy_hits": hits[0],
        "merged_hits": hits[1],
        "maps_alt": maps_alt,
        "spectra_alt": spectra_alt,
    }


def write_reference(root, source, place):
    "A page for each module, in the order of CONTRIBUTING.md, and what opens them."
    modules = reference.modules(root / "adrec_nb")
    homes = reference.package_names(root / "adrec_nb")
    for name, module in modules.items():
        notebook = os.path.relpath(place.pages[module.notebook], "api")
        address = place.source(f"adrec_nb/{name}.py")
        write(source, f"api/{name}.md", reference.page(module, modules, notebook, address))
    order = stage.section(text(root, "CONTRIBUTING.md"), "## The order of the modules")
    groups = {title: re.findall(r"`(\w+)`", names) for title, names in ROW.findall(order)}
    listed = [name for names in groups.values() for name in names]
    if sorted(listed) != sorted(modules):
        odd = sorted(set(listed) ^ set(modules))
        raise ValueError(f"CONTRIBUTING.md, The order of the modules: {', '.join(odd)}")
    write(source, "api/index.md", reference.index(modules, homes, groups, toctree))


def write_commands(source):
    "The help of the command line, command by command."
    os.environ["COLUMNS"] = str(COMMANDS_WIDTH)
    from adrec_nb.cli import COMMANDS, make_parser

    parser = make_parser()
    parts = ["# The command line", "", f"```text\n{parser.format_help()}```", ""]
    (commands,) = (one for one in parser._actions if one.dest == "command")
    for name in COMMANDS:
        parts += [f"## adrec-nb {name}", "", f"```text\n{commands.choices[name].format_help()}```", ""]
    write(source, "command_line.md", "\n".join(parts))


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
    place = place_of(root)
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    write_notebooks(root, source, place)
    write_wings(root, source, place)
    write_teaching(root, source, place)
    write_front(root, source, place, draw_figures(source / "_figures"))
    write_reference(root, source, place)
    write_commands(source)
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
    for template in (out / "_static").glob("*-macros.html"):  # the theme's own, of no use to a reader
        template.unlink()
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
