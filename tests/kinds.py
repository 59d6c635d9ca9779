"A small model of every kind, and something to train it on."

import numpy as np
import torch

import adrec_nb.family
import adrec_nb.flow  # noqa: F401  (its recipe)
from adrec_nb.stages import RECIPES
from adrec_nb.training import make_settings

# name: (recipe, settings beside the preset "paper")
KINDS = {
    "ADRec": ("adrec", {}),
    "next item": ("next_item", {}),
    "SASRec+": ("sasrec", {}),
    "DiffuRec": ("diffurec", {}),
    "DreamRec": ("dreamrec", {}),
    "DreamRec, bundled": ("dreamrec", {"preset": "bundled"}),
    "PreferDiff": ("preferdiff", {}),
    "flow": ("flow", {}),
}
SMALL = dict(dim=16, max_len=10, batch_size=12)


def settings_of(
    kind,  # a name in KINDS
    n_items,
    **overrides,  # any setting of the model or the training
):
    "The settings of a model of this kind and of its training."
    recipe, own = KINDS[kind]
    return make_settings(n_items, recipe, **{"preset": "paper", **own, **overrides})


def build(
    kind,
    config,  # the model's settings, as from `settings_of`
    seed=0,  # of its weights
):
    "The model that the recipe is for, untrained."
    recipe = RECIPES[KINDS[kind][0]]
    last = [stage for stage in recipe.stages if stage.build][-1]
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return last.build(config)


def known_plan(
    model,
    last=None,  # so many of its steps; None: all
):
    "Let a walk's steps be made now, of the CPU's numbers, and not in every walk."
    if hasattr(model, "diffusion"):
        plan = model.diffusion.plan()
        plan = plan if last is None else plan[-last:]
        model.diffusion.plan = lambda steps=None: plan


def stage_of(kind):
    "The stage that trains the result."
    return RECIPES[KINDS[kind][0]].stages[-1]


def walks(
    n_items=40,
    users=40,
    longest=16,
    seed=0,
):
    "Users who take one item after the other."
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, longest, users)
    return [(rng.integers(n_items) + np.arange(n)) % n_items + 1 for n in lengths]
