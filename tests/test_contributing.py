"The examples of CONTRIBUTING.md: each is short, is applied as it stands, and is trained with."

import re
from pathlib import Path

import numpy as np
import pytest

from adrec_nb.data import build_sequences, load_dataset, read_interactions
from adrec_nb.diffusion import SAMPLERS, SCHEDULES
from adrec_nb.evaluation import METRICS
from adrec_nb.losses import LOSSES
from adrec_nb.models import DECODERS
from adrec_nb.runs import RECIPES, load_run
from adrec_nb.training import train

REGISTRIES = (SAMPLERS, SCHEDULES, METRICS, LOSSES, DECODERS, RECIPES)
LONGEST = 10  # lines of an example; blank ones not counted
TINY = {"dim": 8, "batch_size": 20, "lr": 0.01, "max_epochs": 2, "validate_every": 1}
WANTED = ["schedule", "loss", "metric", "decoder", "sampler", "baseline", "data set"]


def examples():
    "Title -> (language, code, the calls of train that follow it)."
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = {}
    for section in text.partition("## What can be added")[2].split("\n### ")[1:]:
        title = section.splitlines()[0].removeprefix("A ")
        ((language, code),) = re.findall(r"```(\w+)\n(.*?)```", section, re.S)
        found[title] = language, code, re.findall(r"`(train\(.*?\))`", section)
    return found


EXAMPLES = examples()


@pytest.fixture
def registries():
    "What a test adds is taken out again."
    before = [dict(registry) for registry in REGISTRIES]
    yield
    for registry, kept in zip(REGISTRIES, before, strict=True):
        registry.clear()
        registry.update(kept)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    "A folder of data with a log: forty customers walk along a ring of twenty products."
    lines = ["customer,product,when"]
    lines += [f"c{c},p{(c + t) % 20},{t}" for c in range(40) for t in range(8)]
    (tmp_path / "events.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("ADREC_NB_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def small(folder):
    "That log as a data set."
    log = read_interactions(folder / "events.csv", "customer", "product", timestamp="when")
    return build_sequences(log, min_rating=None, k_core=3, name="small")


def trainer(folder):
    "`train` for the examples: tiny, each time in a directory of its own."

    def tiny_train(ds, **how):
        run_dir = folder / f"run-{len(list(folder.glob('run-*')))}"
        return train(ds, run_dir=run_dir, device="cpu", **(TINY | how))

    return tiny_train


def test_there_is_one_for_everything():
    "And each is of ten lines at most, with a call of train."
    assert list(EXAMPLES) == WANTED
    for title, (_, code, calls) in EXAMPLES.items():
        lines = [line for line in code.splitlines() if line.strip()]
        assert len(lines) <= LONGEST and max(map(len, lines)) <= 100, title
        assert calls, title


@pytest.mark.parametrize("title", WANTED)
def test_example(title, registries, folder, small):
    "Applied, trained with, and opened again."
    language, code, calls = EXAMPLES[title]
    space = {"ds": small, "train": trainer(folder), "load_dataset": load_dataset}
    if language == "toml":
        (folder / "datasets.toml").write_text(code)
    else:
        exec(code, space)
    for call in calls:
        run = eval(call, space)
        assert np.isfinite(list(run.metrics.values())).all()
        items, _ = load_run(run.dir, "cpu").model.recommend([[1, 2, 3]], k=3)
        assert items.shape == (1, 3)
    if title == "loss":
        assert run.history[-1]["cosine"] > 0
    if title == "metric":
        assert {"P@5", "P@10", "P@20"} <= set(run.metrics)
