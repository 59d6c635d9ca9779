"The course's loop of 25 lines and the library's trainer: the same seed, the same weights."

from pathlib import Path

import numpy as np
import pytest
import torch

from adrec_nb.checkpoint import newest_state
from adrec_nb.data import SequenceDataset
from adrec_nb.models import ADRecConfig
from adrec_nb.optimisation import TrainConfig
from adrec_nb.stages import RECIPES, train_stages
from adrec_nb.training import train


@pytest.fixture(autouse=True)
def one_thread():
    "Several threads add in another order, and a few epochs of Adam make much of the difference."
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def assert_close(found, expected):
    "Every weight of one model against another's."
    for name, weights in expected.state_dict().items():
        torch.testing.assert_close(found[name], weights, rtol=1e-3, atol=1e-4, msg=name)


def test_the_trainer_comes_to_the_weights_of_the_clear_loop(tmp_path):
    "Its fast feed, pieces of a batch and saved states change nothing; the last weights count."
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 20, 200)
    walks = [(rng.integers(30) + np.cumsum(rng.random(n) < 0.9)) % 30 + 1 for n in lengths]
    ring = SequenceDataset("ring", walks, ["(padding)", *map(str, range(30))])
    config = ADRecConfig(n_items=30, dim=16, heads=2, padding="sink")
    numbers = dict(batch_size=50, lr=0.01, max_epochs=8, align_epochs=3)
    histories, _ = ring.split("train")
    models = train_stages(RECIPES["adrec"], histories, config, TrainConfig(**numbers))
    same = dict(dim=16, heads=2, cosine_epochs=500, patience=99, validate_every=8)
    run = train(ring, run_dir=tmp_path / "run", device="cpu", **same, **numbers)
    assert_close(run.models["stage1"].state_dict(), models["stage1"])
    assert_close(newest_state(Path(run.dir) / "last")["model"], models["adrec"])
