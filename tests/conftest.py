"""What all tests share: where things are, the settings, and one case per notebook."""

import configparser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def notebooks():
    "Every notebook nbdev reads: those whose name or folder begins with _ or . are left out."
    for path in sorted((ROOT / "nbs").rglob("*.ipynb")):
        place = path.relative_to(ROOT)
        if not any(part[0] in "._" for part in place.parts):
            yield place


def pytest_generate_tests(metafunc):
    "A test with the argument `notebook` runs once for each of them."
    if "notebook" in metafunc.fixturenames:
        metafunc.parametrize("notebook", list(notebooks()), ids=str)


@pytest.fixture(scope="session")
def root():
    "The repository's top folder."
    return ROOT


@pytest.fixture(scope="session")
def settings():
    "settings.ini, the one home of version, name, repository and test flags."
    parser = configparser.ConfigParser()
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    return parser["DEFAULT"]
