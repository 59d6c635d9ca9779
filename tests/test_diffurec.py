"DiffuRec against vectors of the authors' own code, and a training from start to end."

from pathlib import Path

import numpy as np
import pytest
import torch

import adrec_nb.family  # noqa: F401  (its recipes)
from adrec_nb.data import SequenceDataset
from adrec_nb.diffurec import DiffuRec, from_diffurec
from adrec_nb.evaluation import evaluate
from adrec_nb.plots_walk import denoise_walk
from adrec_nb.training import train

# The authors' numbers are not part of the project; a folder beside the clone may hold them.
GOLDEN = Path(__file__).resolve().parents[2] / "shared/data/golden/diffurec.npz"


@pytest.fixture(scope="module")
def golden():
    "Histories, their vectors, and the weights, or a skipped test."
    if not GOLDEN.is_file():
        pytest.skip(f"golden/{GOLDEN.name} is not beside this clone")
    found = np.load(GOLDEN)
    histories = np.split(found["histories"], np.cumsum(found["lengths"])[:-1])
    prefix = "weights/"
    weights = {k.removeprefix(prefix): found[k] for k in found.files if k.startswith(prefix)}
    return histories, found["vectors"], weights


def test_the_authors_vectors(golden):
    "With all noise at zero and l at its mean; few guesses or all of them."
    histories, expected, weights = golden
    model = from_diffurec(weights)
    assert model.config.blocks == 4 and expected.shape == (48, 64)
    for tolerance in (None, DiffuRec.tolerance):
        model.tolerance = tolerance
        vectors = model.user_vectors(histories, steps=32, generator="zero").numpy()
        np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5)


def test_plain_masking_is_another_computation(golden):
    "So the test above would notice it."
    histories, expected, weights = golden
    masked = from_diffurec(weights, padding="mask")
    found = masked.user_vectors(histories, generator="zero").numpy()
    assert np.abs(found - expected).max() > 1e-2


def test_the_end_of_a_walk(golden):
    "With noise and drawn l, a few guesses end where all of them do."
    histories, expected, weights = golden
    model = from_diffurec(weights)
    few = model.user_vectors(histories, generator=torch.Generator().manual_seed(0))
    model.tolerance = None
    all_of_them = model.user_vectors(histories, generator=torch.Generator().manual_seed(0))
    assert (few - all_of_them).abs().max() < 3e-5
    assert (few - torch.from_numpy(expected)).abs().max() > 1e-3  # the noise can be seen


@pytest.fixture(scope="module")
def ring():
    "Users who walk along a ring of 30 items."
    rng = np.random.default_rng(0)
    walks = [(rng.integers(30) + np.arange(n)) % 30 + 1 for n in rng.integers(5, 12, 150)]
    return SequenceDataset("ring", walks, ["(padding)", *map(str, range(30))])


def test_training(ring, tmp_path):
    "Through the recipe; the same again gives the same, and the explorers' walk works."
    settings = dict(preset="quick", dim=16, max_len=12, batch_size=32, lr=0.01)
    settings |= dict(max_epochs=6, validate_every=3)
    first, again = (
        train(ring, model="diffurec", run_dir=tmp_path / name, **settings) for name in "ab"
    )
    model = first.model
    assert isinstance(model, DiffuRec)
    assert evaluate(model, ring, generator=torch.Generator().manual_seed(0))["HR@5"] > 0.8
    for mine, other in zip(model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(mine, other)
    assert denoise_walk(model, [3, 4, 5]).x.shape == (33, 16)


def test_nothing_of_the_future(ring):
    "What follows in a sequence changes no earlier guess."
    from adrec_nb.batches import make_batch
    from adrec_nb.diffurec import DiffuRecConfig

    model = DiffuRec(DiffuRecConfig(n_items=30, dim=16, max_len=12)).eval()
    one, two = make_batch([[1, 2, 3, 4, 5]], 12), make_batch([[1, 2, 3, 9, 8]], 12)
    drawn = model.draw(one, torch.Generator().manual_seed(0))
    drawn = (torch.zeros_like(drawn[0]), *drawn[1:])
    found = [model.predict(batch, *drawn).guess for batch in (one, two)]
    assert torch.equal(found[0][:2], found[1][:2])
    assert not torch.equal(found[0][3], found[1][3])
