"The authors' own numbers for DreamRec and PreferDiff, and one promise for every model there is."

from pathlib import Path

import numpy as np
import pytest
import torch

import adrec_nb.family  # noqa: F401  (its recipes)
from adrec_nb.batches import make_batch
from adrec_nb.collapse import collapse_report
from adrec_nb.data import SequenceDataset
from adrec_nb.diagnosis import verdict
from adrec_nb.evaluation import evaluate
from adrec_nb.explorers import DenoisingExplorer, NoiseExplorer
from adrec_nb.guided import affine_walk
from adrec_nb.interop import from_published
from adrec_nb.plots_walk import denoise_walk, has_diffusion, walk_table
from adrec_nb.recommender import evaluating, in_groups
from adrec_nb.runs import load_run
from adrec_nb.stages import RECIPES
from adrec_nb.training import make_settings, train

# The authors' numbers are not part of the project; a folder beside the clone may hold them.
GOLDEN = Path(__file__).resolve().parents[2] / "shared/data/golden"
READERS = ("dreamrec", "preferdiff")
TINY = dict(dim=16, max_len=10, batch_size=20, max_epochs=2, validate_every=1)
MODELS = [(name, "quick") for name in RECIPES] + [("dreamrec", "bundled")]


# ---- the authors' numbers ----


@pytest.fixture(params=READERS)
def golden(request):
    "Model, histories and the vectors that the authors' code gives them, or a skipped test."
    file = GOLDEN / f"{request.param}.npz"
    if not file.is_file():
        pytest.skip(f"golden/{file.name} is not beside this clone")
    found = np.load(file)
    weights = {k[8:]: found[k] for k in found.files if k.startswith("weights/")}
    setting = {k[8:]: found[k].item() for k in found.files if k.startswith("setting/")}
    histories = np.split(found["histories"], np.cumsum(found["lengths"])[:-1])
    return from_published(request.param, weights, **setting), histories, found["vectors"]


def test_the_authors_vectors(golden):
    "Every noise draw is zero; another number of users makes no difference."
    model, histories, expected = golden
    assert expected.shape == (48, 64)
    vectors = model.user_vectors(histories, generator="zero").numpy()
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5)
    alone = np.concatenate([model.user_vectors([h], generator="zero") for h in histories[:3]])
    np.testing.assert_allclose(alone, expected[:3], rtol=0, atol=1e-5)


def test_one_map_has_the_authors_vectors(golden):
    "All steps at once; in double precision, which the authors' single precision is 1e-5 from."
    model, histories, expected = golden
    there = affine_walk(model, model.diffusion.plan())
    h = in_groups(model, histories, model.last).double()
    found = (h @ there.matrix.T + there.shift).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1.2e-5)
    many = model.user_vectors(histories * 5, generator="zero").numpy()
    np.testing.assert_allclose(many[:48], expected, rtol=0, atol=1.5e-5)


def test_guidance_and_history_can_be_seen(golden):
    "So the tests above would notice their absence."
    model, histories, expected = golden
    shorter = model.user_vectors([h[-1:] for h in histories], generator="zero").numpy()
    long = np.array([len(history) > 1 for history in histories])
    assert np.abs(shorter - expected)[long].max(1).min() > 1e-2
    object.__setattr__(model.config, "guidance", 0.0)
    plain = model.user_vectors(histories, generator="zero").numpy()
    assert np.abs(plain - expected).max() > 1e-2


# ---- every model there is ----


@pytest.fixture(scope="module")
def ring():
    "Users who walk along a ring of 30 items."
    rng = np.random.default_rng(0)
    walks = [(rng.integers(30) + np.arange(n)) % 30 + 1 for n in rng.integers(5, 14, 60)]
    return SequenceDataset("ring", walks, ["(padding)", *map(str, range(30))])


@pytest.fixture(scope="module", params=MODELS, ids="-".join)
def trained(request, ring, tmp_path_factory):
    "Its name, preset, and a finished run."
    name, preset = request.param
    folder = tmp_path_factory.mktemp(f"{name}-{preset}") / "run"
    return name, preset, train(ring, model=name, preset=preset, run_dir=folder, **TINY)


def seeded():
    "The same noise every time."
    return torch.Generator().manual_seed(0)


def test_trained(trained, ring):
    "Finite losses, all metrics, and the same ones when the test users are ranked again."
    run = trained[2]
    assert np.isfinite([row["loss"] for row in run.history]).all()
    again = evaluate(run.model, ring, generator=seeded())
    assert again["HR@10"] == pytest.approx(run.metrics["HR@10"])


def test_answers(trained):
    "Scores, recommendations without padding or seen items, one user or several."
    model, histories = trained[2].model, [[1, 2, 3], [7], list(range(1, 21))]
    scores = model.score(histories, generator=seeded())
    assert scores.shape == (3, 31) and (scores[:, 0] == -torch.inf).all()
    assert scores[:, 1:].isfinite().all()
    items, best = model.recommend(histories, k=10, generator=seeded())
    assert items.shape == best.shape == (3, 10) and (items >= 1).all()
    assert (best[:, :-1] >= best[:, 1:]).all()
    for history, found in zip(histories, items.tolist(), strict=True):
        assert not set(history) & set(found) and len(set(found)) == 10
    alone = model.user_vectors(histories[:1], generator="zero")
    together = model.user_vectors(histories, generator="zero")
    torch.testing.assert_close(alone, together[:1], atol=1e-5, rtol=0)


def test_no_future(trained):
    "What follows a prefix changes nothing about it, in training too."
    model = trained[2].model
    first, other = [3, 4, 5, 6, 7, 8, 9], [3, 4, 5, 6, 7, 1, 2]
    batches = [make_batch([sequence], 10) for sequence in (first, other)]
    drawn = model.draw(batches[0], seeded())
    with evaluating(model):
        guesses = [model.predict(batch, *drawn).guess for batch in batches]  # (6, D) each
    # the target of place 3 is still the same item; with place 4 it differs
    torch.testing.assert_close(guesses[0][:4], guesses[1][:4], atol=1e-5, rtol=0)
    assert (guesses[0][5] - guesses[1][5]).abs().max() > 1e-6


def test_resumed(trained, ring, tmp_path):
    "Stopped after its first validation and gone on with, it ends with the same weights."
    name, preset, run = trained
    how = dict(model=name, preset=preset, run_dir=tmp_path / "run", **TINY)
    train(ring, on_validation=lambda row: False, **how)
    resumed = train(ring, resume=True, **how)
    assert len(resumed.history) == len(run.history)
    other = load_run(resumed.dir, "cpu").model.state_dict()
    for part, weights in load_run(run.dir, "cpu").model.state_dict().items():
        assert torch.equal(weights, other[part]), part


def test_collapse(trained, ring):
    "Its table can be measured and judged."
    table = trained[2].model.item_table[1:].detach()
    report = collapse_report(table)
    assert 1 <= report["effective_rank_centred"] <= 16
    assert verdict(table, sequences=ring.split("train")[0]).name


def test_explored(trained):
    "A model with diffusion shows its walk, and it ends where the user's vector is."
    model = trained[2].model
    if not has_diffusion(model):
        with pytest.raises(ValueError, match="has no diffusion"):
            denoise_walk(model, [1, 2, 3])
        return
    steps = len(model.diffusion.plan())
    walk = denoise_walk(model, [1, 2, 3], seed=None)
    assert walk.x.shape == (1 + steps, 16) and len(walk.t) == steps
    vector = model.user_vectors([[1, 2, 3]], generator="zero")[0]
    torch.testing.assert_close(walk.x[-1], vector, atol=1e-5, rtol=1e-5)
    assert len(walk_table(walk, model.item_table, 4)) == steps
    explorers = [DenoisingExplorer(trained[2])]
    if hasattr(model.diffusion, "betas"):
        explorers.append(NoiseExplorer(trained[2]))
    else:
        with pytest.raises(ValueError, match="has no schedule"):
            NoiseExplorer(trained[2])
    for explorer in explorers:
        figure, words, tables, said = explorer.look()
        assert figure.axes and words and tables and said
        for state in explorer.states.values():
            state.click()
            assert explorer.message.value == ""


def test_presets():
    "Every preset of every recipe is a setting that exists, and a model can be made of it."
    for name, recipe in RECIPES.items():
        assert {"paper", "quick"} <= set(recipe.presets)
        for preset in recipe.presets:
            config, cfg = make_settings(30, name, preset)
            assert cfg.max_epochs >= 1 and recipe.stages[-1].model == name
            model = recipe.stages[-1].build or recipe.stages[-2].build
            assert model(config).n_items == 30
