"""The pages that Sphinx reads, from the files of the project; what each says is written there."""

import configparser
import os
import re
from pathlib import Path

import nbformat
import slides
from jinja2 import Environment, StrictUndefined

from web import reference, stage

HERE = Path(__file__).resolve().parent
INDEX = "nbs/index.ipynb"
# Pages of the site that are files of the project, beside every notebook: project -> Sphinx.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    INDEX: "story.ipynb",
    "teach/README.md": "teach/index.md",
    "teach/handout.md": "teach/handout.md",
}
TITLES = {INDEX: "The story, and a quick start"}  # where the notebook's own will not do
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


def settings_of(root):
    "settings.ini."
    parser = configparser.ConfigParser()
    parser.read(root / "settings.ini", encoding="utf-8")
    return parser["DEFAULT"]


def place_of(root):
    "The address of the project, its pages and its files."
    settings = settings_of(root)
    own = {key: settings[key] for key in ("user", "repo", "tag")}
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
    "What opens course, labs and library: the words of the index, and the table of contents."
    index = nbformat.read(root / INDEX, as_version=4)
    told = "\n\n".join(cell.source for cell in index.cells if cell.cell_type == "markdown")
    library = [page for page in place.pages.values() if page.startswith("library/")]
    found = re.findall(r"\(library/(\w+)\.ipynb\)", told)
    ordered = list(dict.fromkeys(found)) + sorted(Path(page).stem for page in library)
    entries = {
        "course": ("The course", list(titled(root, "course"))),
        "labs": ("The labs", list(titled(root, "labs"))),
        "library": ("The library", list(dict.fromkeys(ordered))),
    }
    for wing, (title, tree) in entries.items():
        pages = place.pages | {INDEX: f"{wing}/index.md"}
        here = stage.Place(place.user, place.repo, place.tag, pages, place.files)
        words = stage.with_links(stage.section(told, f"### {title}"), INDEX, here)
        write(source, f"{wing}/index.md", f"# {title}\n\n{words}\n{toctree(tree)}")


def write_teaching(root, source, place):
    "Plans and handout, and where slides and student notebooks are."
    for file, page in place.pages.items():
        if page.startswith("teach/"):
            words = stage.with_links(text(root, file), file, place)
            write(source, page, words)
    files = {}
    for plan, title in slides.PLANS.items():
        length = "A day" if plan == "day" else f"{plan} minutes"
        files[f"slides/slides_{plan}.html"] = f"{length}: {title}"
    files["slides/handout.html"] = "The handout, to print"
    files["student.zip"] = "Notebooks without solutions (zip)"
    made = [f'<li><a href="../{file}">{title}</a></li>' for file, title in files.items()]
    plans = [f"plan_{plan}" for plan in slides.PLANS]
    tail = f"\n## {SLIDES}\n\n<ul>\n" + "\n".join(made) + "\n</ul>\n\n"
    with open(source / "teach/index.md", "a", encoding="utf-8") as file:
        file.write(tail + toctree([*plans, "handout"]))


def first_table(words):
    "The first table of a text, with the line above it."
    found = re.search(r"^(?:[^|\n].*\n\n)?(?:\|.*\n)+", words, re.M)
    if not found:
        raise ValueError("README.md, Results: no table")
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
    results = stage.section(readme, "### Results")
    ways = stage.section(readme, "## For researchers")
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
        description=settings_of(root)["description"] + ".",
        place=place,
        figures=figures,
        install=code_block(ways, "sh"),
        six_lines=code_block(ways, "python"),
        results=first_table(results),
        trees="\n" + "\n".join(trees),
    )
    write(source, "index.md", page)
    words = stage.with_links(re.sub(r"<!--.*?-->", "", results), "README.md", place)
    write(source, "results.md", f"# What it reaches\n\n{words}")
    contributing = text(root, "CONTRIBUTING.md")
    write(source, "contributing.md", stage.with_links(contributing, "CONTRIBUTING.md", place))


# ---- pages from the library ----


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
        words = commands.choices[name].format_help()
        parts += [f"## adrec-nb {name}", "", f"```text\n{words}```", ""]
    write(source, "command_line.md", "\n".join(parts))
