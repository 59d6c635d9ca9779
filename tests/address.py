"""Write the project's address everywhere: links, Colab badges and the cells that install in Colab.

    python tests/address.py                           as settings.ini has it
    python tests/address.py --user x --repo y         moved: settings.ini and every link change
    python tests/address.py --tag v0.3.0              Colab opens and installs that release

settings.ini is the one home of user, repository, tag and version. Run without options it changes
nothing where everything is in step; a test does.
"""

import argparse
import configparser
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CITATION.cff")
TEXTS += ("pyproject.toml", "settings.ini")
FOLDERS = ("nbs", "adrec_nb", "teach", ".github")
INSTALL = re.compile(r"adrec-nb @ git\+[^\"]+")
BADGE = re.compile(r"\n*\[!\[Open in Colab\]\([^)]*\)\]\([^)]*\)\n*")
PICTURE = "https://colab.research.google.com/assets/colab-badge.svg"
RESULTS = re.compile(r"(https://github\.com/[^/]+/[^/]+/raw/)[^/]+/")  # of the labs


def settings_of(root):
    "The address as settings.ini has it: user, repository, what Colab opens; and the version."
    parser = configparser.ConfigParser()
    parser.read(root / "settings.ini", encoding="utf-8")
    return {key: parser["DEFAULT"][key] for key in ("user", "repo", "branch", "tag", "version")}


def moved(text, old, new):
    "A text with the new address in place of the old one."
    text = text.replace(f"/{old['user']}/{old['repo']}", f"/{new['user']}/{new['repo']}")
    site = f"{old['user']}.github.io"
    text = text.replace(f"{site}/{old['repo']}", f"{new['user']}.github.io/{new['repo']}")
    return text.replace(site, f"{new['user']}.github.io")


def write_settings(text, new):
    "settings.ini with the new values."
    for key, value in new.items():
        text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.M)
    return re.sub(r"^doc_baseurl = .*$", f"doc_baseurl = /{new['repo']}", text, flags=re.M)


def write_index(text, new):
    "nbdev's index of what is exported, as `nbdev_export` will write it."
    return re.sub(r"'doc_baseurl': '[^']*'", f"'doc_baseurl': '/{new['repo']}'", text)


def with_badge(source, place, new):
    "A title cell with the badge below title and purpose."
    source = BADGE.sub("\n\n", source).rstrip("\n")
    title, purpose, *rest = source.split("\n")
    where = f"{new['user']}/{new['repo']}/blob/{new['tag']}/{place}"
    badge = f"[![Open in Colab]({PICTURE})](https://colab.research.google.com/github/{where})"
    below = "\n".join(rest).strip("\n")
    return "\n".join([title, purpose, "", badge, *(["", below] if below else [])])


def with_install(source, new):
    "The cell that installs in Colab, from the tag; the files of results come from there too."
    place = f"adrec-nb @ git+https://github.com/{new['user']}/{new['repo']}@{new['tag']}"
    return RESULTS.sub(rf"\g<1>{new['tag']}/", INSTALL.sub(place, source))


def in_step(path, root, old, new):
    "The text of a notebook with badge and install cell as they should be."
    nb = json.loads(moved(path.read_text(encoding="utf-8"), old, new))
    place = path.relative_to(root).as_posix()
    for number, cell in enumerate(nb["cells"]):
        source = "".join(cell["source"])
        if number == 0:
            source = with_badge(source, place, new)
        elif '"google.colab" in sys.modules' in source:
            source = with_install(source, new)
        as_text = isinstance(cell["source"], str)
        cell["source"] = source if as_text else source.splitlines(keepends=True)
    return json.dumps(nb, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def rewrite(root, new=None):
    "Bring every file of the project in step; the places of those that changed."
    old, changed = settings_of(root), []
    new = old | (new or {})
    files = [root / name for name in TEXTS if (root / name).is_file()]
    for folder in FOLDERS:
        files += [path for path in sorted((root / folder).rglob("*")) if path.is_file()]
    for path in files:
        if path.suffix not in (".md", ".toml", ".ini", ".py", ".ipynb", ".yml", ".cff"):
            continue
        before = path.read_text(encoding="utf-8")
        after = moved(before, old, new)
        if path.suffix == ".ipynb":
            after = in_step(path, root, old, new)
        if path.name == "settings.ini":
            after = write_settings(after, new)
        if path.name == "_modidx.py":
            after = write_index(after, new)
        if path.name == "README.md":
            after = with_install(after, new)
        if path.name == "CITATION.cff":
            after = re.sub(r"^version: .*$", f"version: {new['version']}", after, flags=re.M)
        if after != before:
            path.write_text(after, encoding="utf-8")
            changed.append(path.relative_to(root).as_posix())
    return changed


def main():
    "Parse the options, rewrite, and name what changed."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("user", "repo", "tag"):
        parser.add_argument(f"--{name}", help=f"the new {name}; as in settings.ini if left out")
    args = parser.parse_args()
    new = {name: value for name, value in vars(args).items() if value}
    for name, value in new.items():
        if not re.fullmatch(r"[\w.-]+", value):
            parser.error(f"--{name} {value}: letters, digits, '.', '_' and '-' only")
    changed = rewrite(ROOT, new)
    print("\n".join(changed) if changed else "Everything is in step.")


if __name__ == "__main__":
    sys.exit(main())
