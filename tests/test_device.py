"""What a GPU needs of the models, watched without one.

A step of training never makes the host wait, ranking only where it fetches places, and nothing is
left on the CPU. `tests/gpu.py` watches the same on a GPU.
"""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from kinds import KINDS, SMALL, build, known_plan, settings_of, stage_of, walks
from waits import Waited, no_waits

from adrec_nb.attention import CausalTransformer, sink_mask
from adrec_nb.batches import make_batch
from adrec_nb.data import Sequences
from adrec_nb.feed import TrainingData
from adrec_nb.processes import Precision
from adrec_nb.ranking import model_places
from adrec_nb.stages import loss_weights
from adrec_nb.trainer import train_step

WALKS = walks()


@pytest.fixture(params=list(KINDS))
def kind(request):
    "Each kind of model."
    return request.param


# ---- the host does not wait ----


@pytest.mark.parametrize(
    "asks",
    [
        lambda x: x.sum().item(),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: x.to("cpu"),
        lambda x: x.to(device="cpu"),
        lambda x: x.numpy(),
        lambda x: bool(x[0] > 0),
        lambda x: int(x[0]),
        lambda x: float(x[0]),
        lambda x: x.nonzero(),
        lambda x: x[x > 1],
        lambda x: x.masked_select(x > 1),
        lambda x: x.unique(),
        lambda x: x.long().bincount(),
        lambda x: torch.repeat_interleave(x.long()),
        lambda x: torch.repeat_interleave(x, x.long()),
        lambda x: x.__setitem__(x > 1, 0.0),
        lambda x: torch.where(x > 1),
        lambda x: torch.equal(x, x),
        lambda x: torch.zeros(3)[int(x.argmax())],
    ],
)
def test_what_waits_is_noticed(asks):
    "Else the tests below would pass whatever happens."
    with no_waits(), pytest.raises(Waited):
        asks(torch.tensor([0.0, 1.0, 2.0]))


def test_what_does_not_wait():
    "Places as numbers, shapes, sizes that are known."
    x = torch.tensor([0.0, 1.0, 2.0], requires_grad=True)
    with no_waits():
        y = x[x.argsort()] + torch.repeat_interleave(x, x.long(), output_size=3)
        (y.sum() * len(y) * torch.where(x > 1, x, 0)).sum().backward()


def a_step(kind, **overrides):
    "A model of the kind in training, and a batch as the feed gives it."
    config, how = settings_of(kind, 40, **SMALL, **overrides)
    model = build(kind, config).train()
    data = TrainingData(Sequences.from_lists(WALKS), config.max_len)
    batch = next(data.batches(np.random.default_rng(0).permutation(len(data)), how.batch_size))
    return model, batch, how


def as_on_gpu(kind, batch, drawn):
    "What the model draws on a GPU: DiffuRec's weights l themselves, where a CPU has seeds of them."
    if kind != "DiffuRec":
        return drawn
    n, width = batch.items.shape
    return (*drawn[:2], torch.randn(n, width * (width + 3) // 2, drawn[1].shape[2]))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_never_waits(kind, precision):
    "Draws, forward and backward pass and the optimiser, on a whole batch, as on a GPU."
    model, batch, how = a_step(kind)
    weights = loss_weights(model, stage_of(kind), how)
    optimiser = torch.optim.Adam(model.parameters(), lr=how.lr, fused=True)
    generator, precision = torch.Generator().manual_seed(0), Precision(precision)
    before = [p.detach().clone() for p in model.parameters()]
    for _ in range(2):
        optimiser.zero_grad()
        with no_waits():
            drawn = model.draw(batch, generator)
            drawn = as_on_gpu(kind, batch, drawn)
            losses = train_step(model, batch, drawn, weights, precision, at_once=None)
            precision.step(optimiser)
        assert losses.isfinite().all()
    changed = [not torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True)]
    assert all(changed) or sum(changed) > len(changed) / 2


# In ranking: the places of a tile of users, fetched at its end.
OF_A_TILE = ["Tensor.cpu", "Tensor.numpy"]
# For each group of users who walk together, DiffuRec also fetches a seed, where there is noise, and
# whether the few guesses of a walk were enough. (What cannot be seen on a CPU: on a GPU the square
# root of DreamRec's map of a whole walk, made once for all users, waits for its eigenvalues.)
OF_A_GROUP = {"DiffuRec": ["Tensor.__int__", "Tensor.__bool__"]}


def test_ranking_waits_for_places_only(kind):
    "One transfer a tile; all else is queued."
    config, _ = settings_of(kind, 40, **SMALL)
    model = build(kind, config)
    known_plan(model)
    histories, targets = [walk[:-1] for walk in WALKS], [walk[-1] for walk in WALKS]
    for generator in (torch.Generator().manual_seed(0), "zero"):
        with no_waits(count=True) as seen:
            places = model_places(model, histories, targets, generator=generator)
        assert np.isfinite(places).all()
        asked = [what for what in seen.found if what.startswith("Tensor.")]
        expected = OF_A_GROUP.get(kind, [])[int(generator == "zero") :]
        assert asked == expected + OF_A_TILE
        assert len(seen.found) == len(asked) + len(expected)  # each a _local_scalar_dense as well


# ---- half precision and padding that is looked at ----

SINKS = ("ADRec", "next item", "DiffuRec", "flow")  # models for which padding is a sink


def bent(kind, precision):
    "Losses and gradients of a batch with long, short and no histories, in one precision."
    config, how = settings_of(kind, 40, **SMALL | {"dropout": 0.0, "emb_dropout": 0.0})
    assert config.padding == "sink"
    model = build(kind, config).train()
    batch = make_batch([*WALKS, list(range(1, 12)), [1, 2]], config.max_len)
    if kind != "DiffuRec":  # a row that holds nothing at all
        grids = (batch.items, batch.targets, batch.segment, batch.length)
        grids = (torch.nn.functional.pad(grid, (0, 0, 0, 1)) for grid in grids)
        batch = batch._replace(**dict(zip(batch._fields[:4], grids, strict=True)))
        batch = batch._replace(n_rows=batch.n_rows + 1)
    drawn = model.draw(batch, torch.Generator().manual_seed(0))
    weights = loss_weights(model, stage_of(kind), how)
    losses = train_step(model, batch, drawn, weights, Precision(precision), at_once=None)
    gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return losses, torch.cat(gradients)


@pytest.mark.parametrize("kind", SINKS)
def test_a_sink_in_half_precision(kind):
    "Nothing becomes NaN, not even in an empty row, and the numbers stay near those of float32."
    losses, gradients = bent(kind, "fp32")
    for precision, near in (("bf16", 0.02), ("fp16", 0.003)):
        rough, rough_gradients = bent(kind, precision)
        assert rough.isfinite().all()
        torch.testing.assert_close(rough, losses, rtol=near, atol=0)
        if precision == "bf16":  # those of float16 are scaled
            assert rough_gradients.isfinite().all()
            far = (rough_gradients - gradients).norm() / gradients.norm()
            assert far < 0.05, far


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_attention_to_a_sink_in_half_precision(dtype):
    "Full and empty histories: logits of minus infinity, none of them for a whole row."
    segment = torch.tensor([[1, 1, 1, 1], [1, 2, 2, 0], [0, 0, 0, 0]])
    length = torch.tensor([[4, 4, 4, 4], [1, 2, 2, 0], [0, 0, 0, 0]])
    mask = sink_mask(segment, (4 - length) * (segment > 0))  # the first history has no padding
    assert (mask == -torch.inf).any() and not (mask == -torch.inf).all(-1).any()
    net = CausalTransformer(16, heads=2, blocks=2, dropout=0.0).eval()
    x = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        exact = net(x, mask)
        with torch.autocast("cpu", dtype):
            rough = net(x, mask)
    assert rough.isfinite().all()
    assert (rough - exact).abs().max() < 0.06


# ---- nothing is left on the CPU ----


@pytest.fixture(scope="module")
def fake(root):
    "What `tests/fake_device.py` saw: {(kind, whether a weight was left on the CPU): devices}."
    command = [sys.executable, str(root / "tests" / "fake_device.py")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {(row["kind"], row["left"]): (row["device"], row["found"]) for row in rows}


def test_everything_stays_on_the_device(kind, fake):
    "Losses, gradients, weights after a step; a process's share; vectors, scores, recommendations."
    device, found = fake[kind, False]
    expected = ("a step", "a share of a step", "user_vectors", "score", "recommend")
    assert found == dict.fromkeys(expected, [device])


def test_a_weight_left_on_the_cpu_is_noticed(fake):
    "Else the test above would pass whatever happens."
    assert "same device" in fake["ADRec", True][1]["error"]
