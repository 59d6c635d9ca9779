"""What screen readers miss in the pages that Sphinx and its theme write, mended afterwards."""

import re

TOGGLE = '<summary><span class="toctree-toggle"'  # of the sidebar
PARAMETERS = re.compile(
    r'<dl>\s*(<dd><(?:em class="sig-param|span class="[\w-]*separator).*?)</dl>', re.S
)


def parameters(match):
    "The parameters of a long signature, as lines: they are no list of definitions."
    lines = match[1].replace("<dd>", '<span class="parameter">').replace("</dd>", "</span>")
    return f'<span class="parameters">{lines}</span>'


def mended(
    page: str,  # HTML
) -> str:
    "The page with a name for the sidebar's button, and without lists that are none."
    page = page.replace(TOGGLE, TOGGLE.replace(">", ' aria-label="Pages below">', 1))
    return PARAMETERS.sub(parameters, page)
