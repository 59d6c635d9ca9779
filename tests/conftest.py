"""What all tests share: where things are, the settings, one case per notebook, and a book of skips.

Tests are skipped for a few known reasons only, each where it holds. A skip for any other reason,
or more of them than there should be, fails the session: nothing stops being tested without a word.
"""

import configparser
import importlib.util
import re
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest
from machines import lacks_machines

ROOT = Path(__file__).resolve().parents[1]

# Started in the background (`nohup make test &`), Python finds Ctrl-C ignored, and so would every
# process that the tests start and interrupt. With a handler of our own, even one that does nothing,
# those get the usual meaning back, while these tests themselves still cannot be interrupted.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, lambda number, frame: None)


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


# ---- the book of skips ----


def lacks(module):
    "Whether a module cannot be imported here."
    return importlib.util.find_spec(module) is None


def lacks_chromium():
    "Whether no browser is installed."
    return shutil.which("chromium") is None and shutil.which("chromium-browser") is None


def may_be():
    "For what cannot be told from here, such as a network."
    return None


# A reason, whether it holds here, and how many tests it skips; a whole file counts once. Where
# nobody can tell from here, it skips so many or none.
SKIPS = {
    "no chromium": (lacks_chromium, 2),
    "no Playwright": (lambda: lacks("playwright") and not lacks_chromium(), 2),
    "no axe": (lambda: lacks("axe_playwright_python") and not lacks("playwright"), 1),
    "no Voila": (lambda: lacks("voila") and not lacks("playwright") and not lacks_chromium(), 1),
    "accelerate": (lambda: lacks("accelerate"), 3),
    "no network namespaces": (lambda: lacks_machines() and not lacks("accelerate"), 1),
    "no Sphinx": (lambda: lacks("myst_nb"), 1),
    "pip cannot fetch Colab's packages here": (may_be, 3),
    "the official archive itself is in the cache": (may_be, 1),
    "is not beside this clone": (lambda: not (ROOT.parent / "shared").is_dir(), 15),
}
SKIPPED = []  # the reason of every skip of this session


def note(report):
    "Write a skip down."
    if report.skipped and not hasattr(report, "wasxfail"):
        SKIPPED.append(str(report.longrepr[-1]).removeprefix("Skipped: "))


def pytest_runtest_logreport(report):
    "A test was run, or skipped."
    note(report)


def pytest_collectreport(report):
    "A file was read, or skipped."
    note(report)


def unexpected(
    reasons,  # of every skip
    whole,  # whether all tests were asked for
):
    "A line for each skip that should not be, and for each that should and is not."
    counts = Counter()
    for reason in reasons:
        known = next((one for one in SKIPS if re.search(one, reason)), None)
        counts[known] += 1
        if known is None:
            yield f"a reason that tests/conftest.py does not know: {reason}"
    for known, (holds, expected) in SKIPS.items():
        here, count = holds(), counts[known]
        if here is False and count:
            yield f"what is said to be missing is here: {known}"
        elif count > expected or (here and whole and count != expected):
            yield f"{count} tests, not {expected}: {known}"


def all_asked_for(config):
    "Whether this is the session of `make test`: no file, name or mark was chosen."
    chosen = config.getoption("keyword") or config.getoption("markexpr")
    chosen = chosen or config.getoption("deselect") or config.getoption("maxfail")
    return not chosen and config.args == config.getini("testpaths")


def pytest_sessionfinish(session):
    "Skips that should not be are a failure."
    if any(unexpected(SKIPPED, all_asked_for(session.config))) and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    "Name them."
    lines = list(unexpected(SKIPPED, all_asked_for(config)))
    if lines:
        terminalreporter.section("skipped, and should not be", red=True, bold=True)
        terminalreporter.write("\n".join(lines) + "\n")
