"""Learn, inspect and use diffusion-based sequential recommendation.

The names below come from the modules that define them, each when it is first asked for: importing
the package itself takes no time. This file is written by hand; nbdev only keeps the version.
"""

__version__ = "0.3.0"

import importlib

# Where each public name of the package lives.
_HOMES = {
    "load_dataset": "data",
    "train": "training",
    "load_run": "runs",
    "evaluate": "evaluation",
    "compare": "evaluation",
    "ADRec": "models",
    "ADRecConfig": "models",
    "SASRec": "family",
    "Popularity": "floors",
    "collapse_report": "collapse",
    "verdict": "diagnosis",
    "plot_spectra": "collapse",
}
__all__ = list(_HOMES)


def __getattr__(name: str):
    "Import the home of a public name; AttributeError for any other."
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list:
    "The public names too, before they were asked for."
    return sorted({*globals(), *__all__})
