"""Runs that were made by earlier versions, kept here as their files, open today."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from adrec_nb.common import DataError
from adrec_nb.data import SequenceDataset
from adrec_nb.evaluation import evaluate
from adrec_nb.report import report_html
from adrec_nb.runs import load_run
from adrec_nb.training import train

OLD = Path(__file__).parent / "data" / "run_0_1_0"  # 200 users on a ring of 30 items
TINY = dict(dim=8, steps=4, heads=2, batch_size=50, lr=0.01, max_epochs=4, align_epochs=2)
TINY |= dict(validate_every=2, patience=9)


def ring():
    "The data that the old run was trained on, drawn as it was then."
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 20, 200)
    walks = [(rng.integers(30) + np.cumsum(rng.random(n) < 0.9)) % 30 + 1 for n in lengths]
    return SequenceDataset("ring", walks, ["(padding)", *map(str, range(30))])


def test_old_run_opens():
    "Settings, models and results by name; the model on disk gives the metrics that were noted."
    run, ds = load_run(OLD, "cpu"), ring()
    assert run.config["data"]["fingerprint"] == ds.fingerprint
    assert (run.config["kind"], run.config["training"]["loss_weights"]) == ("adrec", {})
    assert list(run.models) == list(run.results) == ["stage1", "adrec"]
    assert run.stages == {1: "pre-train", 2: "align", 3: "fine-tune"}
    assert sorted(run.spectra)[0] == (1, 0) and run.history[-1]["stage"] == 3
    assert run.model.fewest_steps == 1
    found = evaluate(run.models["stage1"], ds, "test")
    noted = {name: value for name, (value, *_) in run.results["stage1"].items()}
    assert dict(found) == pytest.approx(noted)
    found = evaluate(run.model, ds, "test")
    assert abs(found["HR@5"] - run.metrics["HR@5"]) < 0.02  # its noise is drawn anew


def test_old_run_in_a_report():
    "A page shows it like any other."
    page = report_html([load_run(OLD, "cpu")])
    assert "run_0_1_0" in page and "pre-train" in page


def test_old_run_is_not_trained_on(tmp_path):
    "A finished one is opened by resume; an unfinished one says what to do."
    folder = tmp_path / "run"
    shutil.copytree(OLD, folder)
    assert train(ring(), run_dir=folder, resume=True, device="cpu", **TINY).metrics["HR@5"] > 0.8
    (folder / "results.json").unlink()
    with pytest.raises(DataError, match="not a whole training state of this version"):
        train(ring(), run_dir=folder, resume=True, device="cpu", **TINY)
