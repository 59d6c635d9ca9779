"""Where browser tests find Chromium and Playwright; without them who imports this is skipped.

Chromium is Debian's package of that name, or any named by the environment variable CHROMIUM."""

import os
import shutil

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
CHROMIUM = CHROMIUM or shutil.which("chromium-browser")
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS += " --disable-component-update --disable-sync --disable-dev-shm-usage"

if CHROMIUM is None:
    hint = "no chromium: apt-get install chromium, or name one in CHROMIUM"
    pytest.skip(hint, allow_module_level=True)
no_playwright = "no Playwright: pip install playwright"
sync_api = pytest.importorskip("playwright.sync_api", reason=no_playwright)
