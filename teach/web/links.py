"""Check the links of a built site, without a network.

    python teach/web/links.py runs/site

Every relative link, picture, script and frame must be a file of the site, and every anchor an `id`
in it. Of links to elsewhere only the shape is looked at; but no page may load anything from there,
and no picture may lack an alternative text.
"""

import argparse
import os
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

# What a page loads by itself, and what waits for a click.
LOADS = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src")}
WAITS = {("a", "href"), ("form", "action"), ("area", "href")}
LOADED_LINKS = {"stylesheet", "icon", "preload", "prefetch", "modulepreload", "manifest"}


class Link(NamedTuple):
    "An address in a page."

    page: Path
    goal: str
    loaded: bool  # by the page itself


class Broken(NamedTuple):
    "A link that leads nowhere, or a picture without words."

    page: Path
    goal: str
    why: str


class Reader(HTMLParser):
    "What a page links to, its anchors, and its pictures without words."

    def __init__(self, page):
        super().__init__()
        self.page, self.links, self.anchors, self.wordless = page, [], set(), []

    def handle_starttag(self, tag, attrs):
        "Write down what this one names."
        own = dict(attrs)
        self.anchors |= {own[key] for key in ("id", "name") if own.get(key)}
        for key, value in own.items():
            if value is None:
                continue
            if (tag, key) in LOADS:
                self.links.append(Link(self.page, value, True))
            elif (tag, key) in WAITS:
                self.links.append(Link(self.page, value, False))
        if tag == "link" and own.get("href"):
            loaded = bool(LOADED_LINKS & set((own.get("rel") or "").split()))
            self.links.append(Link(self.page, own["href"], loaded))
        if tag == "img" and not (own.get("alt") or "").strip():
            self.wordless.append((own.get("src") or "")[:80])


def read(page):
    "A page, read."
    reader = Reader(page)
    reader.feed(page.read_text(encoding="utf-8"))
    reader.close()
    return reader


def shape_problem(parts):
    "What is wrong with an address elsewhere, as far as one can see; or nothing."
    if parts.scheme == "mailto":
        return "" if "@" in parts.path else "no address to write to"
    if parts.scheme not in ("http", "https"):
        return f"a scheme that no reader can follow: {parts.scheme}"
    return "" if "." in parts.netloc.strip(".") else "no host"


def problem(link, pages):
    "What is wrong with a link, in a few words; or nothing."
    goal = link.goal.strip()
    if any(char.isspace() for char in goal):
        return "a space in it"
    parts = urlsplit(goal)
    if parts.scheme == "data":
        return ""
    if parts.scheme or parts.netloc:
        return "loaded from elsewhere" if link.loaded else shape_problem(parts)
    path, anchor = unquote(parts.path), unquote(parts.fragment)
    file = Path(os.path.normpath(link.page.parent / path)) if path else link.page
    if path.startswith("/"):
        return "an absolute path, which holds at one address only"
    if file.is_dir():
        file /= "index.html"
    if not file.is_file():
        return "no such file"
    if anchor and file in pages and anchor not in pages[file].anchors:
        return "no such anchor"
    return ""


def check(
    site,  # the folder of a built site
):
    "How many links there are, and those that are broken."
    pages = {page: read(page) for page in sorted(site.rglob("*.html"))}
    broken, links = [], 0
    for page, reader in pages.items():
        broken += [Broken(page, source, "a picture without words") for source in reader.wordless]
        for link in reader.links:
            links += 1
            why = problem(link, pages)
            if why:
                broken.append(Broken(page, link.goal[:200], why))
    return links, broken


def report(site):
    "Name what is broken, and count; the exit code."
    links, broken = check(site)
    for one in broken:
        print(f"{one.page.relative_to(site)}: {one.goal}: {one.why}")
    print(f"{len(broken)} broken links of {links:,}")
    return 1 if broken or not links else 0


def main():
    "Check the folder that is named."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path, help="the folder of the built site")
    return report(parser.parse_args().site)


if __name__ == "__main__":
    sys.exit(main())
