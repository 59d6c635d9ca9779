"""How Sphinx builds the site from what build.py has laid out; addresses come from settings.ini."""

import os
import sys
from pathlib import Path

from docutils.nodes import SkipNode

ROOT = Path(os.environ["ADREC_NB_ROOT"])  # set by build.py: the top folder of the project
sys.path[:0] = [str(ROOT / "teach"), str(ROOT / "tests")]
from web.formulas import mathml
from web.pages import colab_addresses, settings_of

settings = dict(settings_of(ROOT))

project = settings["title"]
author = settings["author"]
copyright = settings["copyright"]
version = release = settings["version"]

extensions = ["myst_nb", "sphinx.ext.githubpages"]
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_dmath_double_inline = True  # $$ … $$ within a paragraph
smartquotes_action = "qe"  # quotes and ellipses; an option such as --read keeps its hyphens
myst_heading_anchors = 6
myst_heading_slug_func = "web.stage.anchor"
nb_execution_cache_path = str(Path(__file__).parent / "_cache")
nb_merge_streams = True
add_module_names = False
maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True

html_theme = "sphinx_book_theme"
html_title = settings["title"]
html_baseurl = f"{settings['doc_host']}{settings['doc_baseurl']}/"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}
html_extra_path = ["_extra"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {
    "repository_url": settings["git_url"],
    "repository_branch": settings["tag"],
    "use_repository_button": True,
    "navbar_start": [],
    "navbar_center": [],
    "navbar_end": [],
    "navbar_persistent": [],
    "use_download_button": False,
    "use_fullscreen_button": False,
    "home_page_in_toc": False,
    "show_navbar_depth": 1,
    "collapse_navbar": True,
    "show_toc_level": 2,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_math_renderer = "mathml"
NOTEBOOKS = colab_addresses(ROOT)


def formula(writer, node, display):
    "A formula, its source as alternative text."
    words = writer.encode(" ".join(node.astext().split()))
    found = mathml(node.astext(), display)
    writer.body.append(found.replace("<math ", f'<math alttext="{words}" ', 1))


def inline_formula(writer, node):
    "A formula within a line."
    formula(writer, node, "inline")
    writer.body.append("&#8288;")  # a full stop behind it stays on its line
    raise SkipNode


def block_formula(writer, node):
    "A formula on a line of its own; one that is too wide for a telephone scrolls by itself."
    writer.body.append('<span class="formula" tabindex="0">')
    formula(writer, node, "block")
    writer.body.append("</span>")
    raise SkipNode


def colab_button(app, pagename, templatename, context, doctree):
    "A button in the header of every notebook's page."
    if pagename in NOTEBOOKS:
        button = {
            "type": "link",
            "url": NOTEBOOKS[pagename],
            "text": "Colab",
            "tooltip": "Open in Colab",
            "icon": "fas fa-rocket",
            "label": "colab-button",
        }
        context["header_buttons"].insert(0, button)


def setup(app):
    "Formulas, and the button."
    app.add_html_math_renderer("mathml", (inline_formula, None), (block_formula, None))
    app.connect("html-page-context", colab_button, priority=900)
