"""Every model on a device that computes nothing: only shapes, and where each tensor is.

    python tests/fake_device.py

PyTorch's fake tensors refuse to mix devices as a GPU does. A PyTorch built with CUDA makes fake
tensors of a GPU, without any; another one of a device that is made up here. Prints a line of JSON
for each kind of model: what stayed on the device, or an error.
"""

import json
import os
import sys
import traceback

import numpy as np
import torch
from kinds import KINDS, SMALL, build, known_plan, settings_of, stage_of, walks
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from adrec_nb.data import Sequences
from adrec_nb.feed import TrainingData
from adrec_nb.processes import Precision
from adrec_nb.stages import loss_weights
from adrec_nb.trainer import train_step

WALKS = walks()


def make_up(name):
    "Register a device that is no CPU."
    from torch.utils import backend_registration as registration

    class Module(registration._DummyBackendModule):
        "What PyTorch asks of a device."

        def get_amp_supported_dtype(self):
            return [torch.bfloat16, torch.float16]

    registration._setup_privateuseone_for_python_backend(name, Module())
    return name


def moved(
    model,
    device,
    mode,  # of the fake tensors
):
    "The model with all of its weights and buffers on the fake device."
    for part in model.modules():
        for name, weights in part._parameters.items():
            fake = mode.from_tensor(weights.detach()).to(device)
            part._parameters[name] = torch.nn.Parameter(fake)
        for name, buffer in part._buffers.items():
            part._buffers[name] = mode.from_tensor(buffer).to(device)
    return model


def trained(kind, model, device, how, share):
    "The tensors of a step of training: losses, gradients, weights after it."
    data = TrainingData(Sequences.from_lists(WALKS), model.max_len, device)
    order = np.random.default_rng(0).permutation(len(data))
    batch = next(data.batches(order, how.batch_size, *share))
    weights, drawn = loss_weights(model.train(), stage_of(kind), how), model.draw(batch)
    if device == "cuda" and not torch.cuda.is_available():  # no backward pass without a driver
        return list(model.losses(batch, drawn, tuple(weights)).values())
    optimiser = torch.optim.Adam(model.parameters(), lr=how.lr, fused=True)
    precision = Precision("fp32", torch.device(device))
    losses = train_step(model, batch, drawn, weights, precision)
    precision.step(optimiser)
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return [losses, *gradients, *model.parameters()]


def used(model):
    "What a user sees of the model: vectors, scores, recommendations."
    vectors, scores = (ask(WALKS, generator="zero") for ask in (model.user_vectors, model.score))
    return {"user_vectors": [vectors], "score": [scores], "recommend": recommended(model)}


def recommended(model):
    "Items and their scores, with and without those of the history."
    how = dict(k=5, generator="zero")
    return [x for seen in (True, False) for x in model.recommend(WALKS, exclude_seen=seen, **how)]


def watched(kind, device, left=False):
    "{what: the devices of its tensors}; left: with one buffer or weight left on the CPU."
    config, how = settings_of(kind, 40, **SMALL)
    model = build(kind, config)
    known_plan(model, last=3)
    if kind == "DiffuRec":
        model.tolerance = None  # it would compare numbers, and here there are none
    with FakeTensorMode(allow_non_fake_inputs=True, shape_env=ShapeEnv()) as mode:
        model = moved(model, device, mode)
        if left:
            model.norm.weight = torch.nn.Parameter(torch.ones(config.dim))
        found = {
            "a step": trained(kind, model, device, how, (0, 1)),
            "a share of a step": trained(kind, model, device, how, (0, 2)),
        } | used(model)
        return {what: sorted({x.device.type for x in found[what]}) for what in found}


def main():
    "Watch every kind, then one with a weight on the CPU."
    device = "cuda" if torch.backends.cuda.is_built() else make_up("fakegpu")
    for kind, left in [*((kind, False) for kind in KINDS), ("ADRec", True)]:
        try:
            found = watched(kind, device, left)
        except Exception as error:
            traceback.print_exc()
            found = {"error": str(error).splitlines()[0]}
        print(json.dumps({"kind": kind, "left": left, "device": device, "found": found}))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # the made-up device has no way to end PyTorch's threads


if __name__ == "__main__":
    main()
