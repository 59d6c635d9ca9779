"""What `tests/gpu.py` measures on a device, row by row; every function works on a CPU as well.

A setting that the device or this PyTorch does not have raises Unsupported, and says which.
"""

import copy
import functools
import inspect
import itertools
import os
import platform
import subprocess
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from kinds import KINDS, SMALL, build, known_plan, settings_of, stage_of, walks
from torch.nn.attention import SDPBackend, sdpa_kernel
from waits import no_waits

from adrec_nb.attention import CausalTransformer, attention_mask
from adrec_nb.batches import make_batch
from adrec_nb.bench import bench_dataset, memory_peak, seconds
from adrec_nb.data import Sequences
from adrec_nb.evaluation import evaluate
from adrec_nb.feed import TrainingData
from adrec_nb.locate import find_data
from adrec_nb.losses import linear_cross_entropy
from adrec_nb.processes import Precision
from adrec_nb.ranking import model_places
from adrec_nb.recommender import evaluating
from adrec_nb.stages import loss_weights
from adrec_nb.synthetic import PlantedWorld, make_log
from adrec_nb.trainer import train_epoch, train_step

LIMIT = 1e-4  # of a difference from the CPU's numbers, where the greatest of them is 1
PRECISIONS = ("fp32", "TF32", "bf16", "fp16")
KERNELS = {
    "SDPA math": SDPBackend.MATH,
    "SDPA efficient": SDPBackend.EFFICIENT_ATTENTION,
    "SDPA flash": SDPBackend.FLASH_ATTENTION,
    "SDPA cuDNN": SDPBackend.CUDNN_ATTENTION,
}
SHOWN = 15  # kernels


class Unsupported(Exception):
    "A setting that cannot be used here, and why."


def on_gpu(device):
    "Whether it is one; a CPU is for tests of this file."
    return torch.device(device).type == "cuda"


def need_gpu(device):
    "Unsupported on a CPU."
    if not on_gpu(device):
        raise Unsupported("needs a GPU")


def capability(device):
    "What the GPU can do, as CUDA counts it; (0, 0) for a CPU."
    return torch.cuda.get_device_capability(device) if on_gpu(device) else (0, 0)


# ---- where ----


def driver():
    "The version of the GPU's driver, where its tool is installed."
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.split()
    return lines[0] if done.returncode == 0 and lines else None


def varlen():
    "PyTorch's attention for histories of many lengths. Unsupported where it has none."
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        raise Unsupported(f"PyTorch {torch.__version__} has no varlen_attn") from None
    return varlen_attn


def has(device):
    "Which kinds of arithmetic and which functions are there."
    ampere = capability(device) >= (8, 0)
    try:
        there = ampere and bool(varlen())
    except Unsupported:
        there = False
    return {
        "bf16": ampere,
        "fp16": on_gpu(device),
        "TF32": ampere,
        "varlen_attn": there,
        "linear_cross_entropy": hasattr(F, "linear_cross_entropy"),
    }


def environment(device):
    "What it runs on."
    there = on_gpu(device)
    facts = torch.cuda.get_device_properties(device) if there else None
    return {
        "device": str(device),
        "name": facts.name if there else platform.processor() or platform.machine(),
        "driver": driver() if there else None,
        "capability": "{}.{}".format(*capability(device)) if there else None,
        "memory_bytes": facts.total_memory if there else None,
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if there else None,
        "python": platform.python_version(),
        "system": platform.platform(),
        "threads": torch.get_num_threads(),
        "allocator": os.environ.get("PYTORCH_ALLOC_CONF", ""),
        "has": has(device),
    }


# ---- the same numbers as on a CPU ----


def far(there, here):
    "The greatest difference of tensors, and the greatest of the CPU's numbers."
    there, here = there.detach().double().cpu(), here.detach().double()
    finite = here.isfinite()
    if not torch.equal(finite, there.isfinite()):
        return np.inf, 0.0
    gap, size = (there - here)[finite].abs(), here[finite].abs()
    return gap.max().item(), size.max().item()


def answers(model, batch, drawn, histories):
    "Numbers of a model in fp32, without dropout and noise: what is compared."
    with evaluating(model), torch.enable_grad():
        losses = model.losses(batch, drawn)
        gradients = torch.autograd.grad(sum(losses.values()), list(model.parameters()))
    items, best = model.recommend(histories, k=5, generator="zero")
    return {
        "losses": torch.stack(list(losses.values())),
        "gradients": torch.cat([gradient.flatten() for gradient in gradients]),
        "vectors": model.user_vectors(histories, generator="zero"),
        "scores": model.score(histories, generator="zero"),
        "recommended": best,
        "items": items,
    }


def both(kind, device, small=False, change=None):
    "The answers on the device and on the CPU; `change` is done to the first model (for a test)."
    n_items, users = (40, 20) if small else (500, 64)
    sizes = SMALL if small else dict(dim=64)
    config, _ = settings_of(kind, n_items, **sizes)
    here = build(kind, config).eval()
    there = copy.deepcopy(here).to(device)
    if change is not None:
        change(there)
    sequences = walks(n_items, users, longest=12 if small else 70)
    batch, on_device = (make_batch(sequences, config.max_len, where) for where in ("cpu", device))
    drawn = here.draw(batch, torch.Generator().manual_seed(0))
    if kind == "DiffuRec":  # l at its mean
        drawn = drawn[:2]
    torch.set_float32_matmul_precision("highest")
    found = answers(there, on_device, tuple(x.to(device) for x in drawn), sequences)
    return found, answers(here, batch, drawn, sequences)


def compared(kind, device, small=False, change=None):
    "A row for each of the answers."
    found, expected = both(kind, device, small, change)
    moved = (found.pop("items").cpu() != expected.pop("items")).sum().item()
    for what, here in expected.items():
        gap, size = far(found[what], here)
        limit, reason = LIMIT * max(1.0, size), None
        if not gap <= limit:
            reason = "further than it may be"
            reason += f", {moved} items in other places" if what == "recommended" else ""
        status = "failed" if reason else "passed"
        numbers = {"difference": gap, "largest": size, "limit": limit}
        yield {"model": kind, "what": what, **numbers, "status": status, "reason": reason}


COMPARED = ("losses", "gradients", "vectors", "scores", "recommended")


# ---- training ----


def find_log(name, small=False):
    "A made log of the size of a published one, or a file."
    if small:
        return make_log(60, PlantedWorld(n_items=50), mean_length=9, seed=0).dataset(name)
    if name == "Baby":
        return bench_dataset()
    if name == "ML-100K":
        world = PlantedWorld(n_items=1008, n_clusters=19)
        return make_log(938, world, mean_length=56, seed=0).dataset("synthetic, of ML-100K's size")
    return find_data(name, None)[0]


LOGS = ("Baby", "ML-100K")
logs = functools.cache(find_log)


def arithmetic(name, device):
    "The library's name of the precision, with PyTorch's products of float32 set as asked."
    least = {"fp32": (0, 0), "TF32": (8, 0), "bf16": (8, 0), "fp16": (5, 3)}[name]
    if name != "fp32":
        need_gpu(device)
    if capability(device) < least:
        raise Unsupported(f"{name} needs compute capability {least[0]}.{least[1]}")
    torch.set_float32_matmul_precision("high" if name == "TF32" else "highest")
    return "fp32" if name == "TF32" else name


class Case:
    "A model of a kind in training on a log, in one arithmetic."

    def __init__(self, kind, log, precision, device, small=False, capturable=False):
        self.ds, self.device, self.kind = logs(log, small), torch.device(device), kind
        sizes = SMALL if small else {}
        config, self.how = settings_of(kind, self.ds.n_items, **sizes)
        self.precision = Precision(arithmetic(precision, device), self.device)
        self.model = build(kind, config).to(device)
        sequences = Sequences.from_lists(self.ds.split("train")[0])
        self.data = TrainingData(sequences, config.max_len, device)
        how = dict(lr=self.how.lr, weight_decay=self.how.weight_decay, fused=True)
        self.optimiser = torch.optim.Adam(self.model.parameters(), **how, capturable=capturable)
        self.weights = loss_weights(self.model, stage_of(kind), self.how)
        self.order = np.random.default_rng(0).permutation(len(self.data))
        self.generator = torch.Generator(device).manual_seed(0)

    def epoch(self):
        "The library's own."
        how = dict(weights=self.weights, precision=self.precision)
        sizes = (self.order, self.how.batch_size)
        return train_epoch(self.model, self.data, self.optimiser, *sizes, **how)

    def batch(self):
        "The first one."
        return next(self.data.batches(self.order, self.how.batch_size))

    def step(self, batch):
        "Everything of a step of `train_epoch`."
        self.optimiser.zero_grad()
        drawn = self.model.draw(batch, self.generator)
        losses = train_step(self.model, batch, drawn, self.weights, self.precision)
        self.precision.step(self.optimiser)
        return losses


def timed(task, device, rounds=3, warm=1):
    "Seconds, the median of some rounds after others, and the most memory of tensors meanwhile."
    for _ in range(warm):
        task()
    if on_gpu(device):
        torch.cuda.reset_peak_memory_stats(device)
    took = float(np.median([seconds(task, device) for _ in range(rounds)]))
    peak = torch.cuda.max_memory_allocated(device) if on_gpu(device) else memory_peak()
    return {"seconds": took, "peak_bytes": peak}


def repeated(task, device, small):
    "Seconds of one of many calls in a row."
    many = 2 if small else 20
    found = timed(lambda: [task() for _ in range(many)], device)
    return found | {"seconds": found["seconds"] / many}


COMPILED = ("losses compiled", "transformer compiled")


def compiled(case, what, **how):
    "Let PyTorch's compiler have the losses as a whole, or the transformers alone."
    if what == "losses compiled":
        case.model.losses = torch.compile(case.model.losses, **how)
        return
    for part in case.model.modules():
        if isinstance(part, CausalTransformer):
            part.compile(**how)


def compiled_on_gpu(case, what, dynamic):
    "The same, where it makes kernels."
    need_gpu(case.device)
    if capability(case.device) < (7, 0):
        raise Unsupported("the compiler's kernels need compute capability 7.0")
    compiled(case, what, dynamic=dynamic)


def captured(case, batch):
    "A whole step as a CUDA graph: a function that replays it."
    need_gpu(case.device)
    if case.precision.name == "fp16":
        raise Unsupported("the scaler of float16 changes between steps")
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            case.step(batch)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(case.generator)
    case.optimiser.zero_grad()
    with torch.cuda.graph(graph):
        losses = case.step(batch)
    graph.replay()
    torch.cuda.synchronize()
    if not losses.isfinite().all():
        raise RuntimeError(f"the losses of the replayed step are {losses.tolist()}")
    return graph.replay


def epoch_time(row, device, small=False):
    "An epoch."
    case = Case(row["model"], row["log"], row["precision"], device, small)
    if row["setting"] in COMPILED:
        compiled_on_gpu(case, row["setting"], dynamic=True)
    if row["setting"] not in KERNELS:
        return timed(case.epoch, device, warm=2 if row["setting"] in COMPILED else 1)
    need_gpu(device)
    with sdpa_kernel(KERNELS[row["setting"]]):
        return timed(case.epoch, device)


def step_time(row, device, small=False):
    "The same batch again and again."
    graph = row["setting"] == "CUDA graph"
    case = Case(row["model"], row["log"], row["precision"], device, small, capturable=graph)
    case.model.train()
    batch = case.batch()
    if row["setting"] in COMPILED:
        compiled_on_gpu(case, row["setting"], dynamic=False)
    task = captured(case, batch) if graph else lambda: case.step(batch)
    return repeated(task, device, small)


def ranking_time(row, device, small=False):
    "All test users."
    case = Case(row["model"], row["log"], row["precision"], device, small)
    steps = 1 if row["setting"] == "1 step" else None
    generator = torch.Generator(device).manual_seed(0)
    task = functools.partial(evaluate, case.model, case.ds, steps=steps, generator=generator)
    return timed(task, device)


def vectors_time(row, device, small=False):
    "The vectors of all test users, without ranking."
    case = Case(row["model"], row["log"], row["precision"], device, small)
    histories = case.ds.split("test")[0]

    def task():
        with case.precision.autocast():
            return case.model.user_vectors(histories, generator="zero")

    return timed(task, device)


def attention_time(row, device, small=False):
    "Attention alone, forward and backward, on the histories of one batch."
    case = Case(row["model"], row["log"], row["precision"], device, small)
    batch, config = case.batch(), case.model.config
    heads, dim = config.heads, config.dim // config.heads
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[row["precision"]]
    q, k, v = torch.randn(3, len(batch.tokens), heads, dim, device=device).to(kind).unbind()
    tensors = [x.clone().requires_grad_() for x in (q, k, v)]
    masked = masked_attention(batch)
    attend = varlen_attention(batch, device) if row["setting"] == "varlen_attn" else masked

    def task():
        attend(*tensors).sum().backward()

    note = None
    if row["setting"] == "varlen_attn":
        gap = (attend(*tensors) - masked(*tensors)).abs().max().item()
        note = f"{gap:.0e} from SDPA"
    return repeated(task, device, small) | {"note": note}


def masked_attention(batch):
    "As the library does it: packed rows and a mask; tokens (M, H, d) in and out."
    mask, places = attention_mask(batch.segment), batch.tokens
    n, width = batch.items.shape

    def attend(q, k, v):
        rows = []
        for x in (q, k, v):
            empty = x.new_zeros(n * width, *x.shape[1:])
            rows.append(empty.index_copy(0, places, x).view(n, width, *x.shape[1:]).transpose(1, 2))
        mixed = F.scaled_dot_product_attention(*rows, attn_mask=mask)  # (R, H, L, d)
        return mixed.transpose(1, 2).flatten(0, 1)[places]

    return attend


def varlen_attention(batch, device):
    "One list of tokens, and where each history ends."
    need_gpu(device)
    attn = varlen()
    if capability(device) < (8, 0):
        raise Unsupported("varlen_attn needs compute capability 8.0")
    ends = np.concatenate([[0], np.cumsum(batch.lengths)]).astype(np.int32)
    ends, longest = torch.from_numpy(ends).to(device), int(batch.lengths.max())

    windows = "window_size" in inspect.signature(attn).parameters  # releases differ
    causal = {"window_size": (-1, 0)} if windows else {"is_causal": True}

    def attend(q, k, v):
        return attn(q, k, v, ends, ends, longest, longest, **causal)

    return attend


def scores_time(row, device, small=False):
    "The cross-entropy over the whole catalogue, forward and backward, of one batch's tokens."
    case = Case(row["model"], row["log"], row["precision"], device, small)
    batch, how = case.batch(), dict(device=device, requires_grad=True)
    dim, table = case.model.config.dim, case.model.item_table
    vectors = torch.randn(len(batch.tokens), dim, **how)
    table = torch.randn(table.shape, **how)
    targets = batch.targets.flatten()[batch.tokens]
    function = linear_cross_entropy
    if row["setting"] == "PyTorch's":
        if not hasattr(F, "linear_cross_entropy"):
            raise Unsupported(f"PyTorch {torch.__version__} has no linear_cross_entropy")
        options = getattr(torch.nn, "LinearCrossEntropyOptions", None)
        chunked = {} if options is None else {"options": options()}
        function = functools.partial(F.linear_cross_entropy, **chunked)
    if row["setting"] == "all scores at once":
        function = all_scores

    def task():
        with case.precision.autocast():
            loss = function(vectors, table, targets)
        loss.backward()

    return repeated(task, device, small)


def all_scores(vectors, table, targets):
    "The plain way."
    return F.cross_entropy(vectors @ table.T, targets)


TASKS = {
    "epoch": epoch_time,
    "step": step_time,
    "ranking": ranking_time,
    "vectors": vectors_time,
    "attention": attention_time,
    "cross-entropy": scores_time,
}


def time_rows(log):
    "What is timed on a log, the most important first."

    def rows(task, settings, precisions, models=("ADRec",)):
        for model, setting, precision in itertools.product(models, settings, precisions):
            names = {"task": task, "setting": setting, "precision": precision}
            yield {"log": log, "model": model, **names}

    others = [kind for kind in KINDS if kind != "ADRec"]
    yield from rows("epoch", ["eager"], PRECISIONS)
    yield from rows("ranking", ["all steps", "1 step"], ["fp32", "TF32"])
    yield from rows("step", ["eager", "CUDA graph"], ["fp32", "bf16", "fp16"])
    yield from rows("epoch", ["eager"], ["fp32", "bf16"], others)
    yield from rows("ranking", ["all steps"], ["fp32"], others)
    yield from rows("epoch", list(KERNELS), ["bf16"], ["ADRec", "SASRec+"])
    yield from rows("attention", ["SDPA, packed rows"], ["fp32", "bf16"])
    yield from rows("attention", ["varlen_attn"], ["bf16"])
    how = ["the library's", "PyTorch's", "all scores at once"]
    yield from rows("cross-entropy", how, ["fp32", "TF32", "bf16"])
    yield from rows("vectors", ["all steps"], ["fp32", "bf16", "fp16"])
    yield from rows("step", ["CUDA graph"], ["bf16"], others)
    yield from rows("step", reversed(COMPILED), ["fp32", "bf16"])
    yield from rows("epoch", reversed(COMPILED), ["bf16"], ["ADRec", "SASRec+"])


# ---- who waits for whom ----


def step_waits(kind, device, small=False):
    "How often the host waits in a step: it may not. The first one sets things up and is left out."
    case = Case(kind, "ML-100K", "fp32", device, small)
    case.model.train()
    batch = case.batch()
    case.step(batch)
    if not on_gpu(device):
        if kind == "DiffuRec":
            raise Unsupported("a CPU draws seeds, and may ask for them")
        with no_waits():
            drawn = case.model.draw(batch)
            train_step(case.model, batch, drawn, case.weights, case.precision, at_once=None)
        return 0
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        case.step(batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return 0


def ranking_waits(kind, device, small=False):
    "How often the host waits while one tile of users is ranked, uploads among them."
    case = Case(kind, "ML-100K", "fp32", device, small)
    known_plan(case.model)
    histories, targets = (part[:200] for part in case.ds.split("test"))
    task = functools.partial(model_places, case.model, histories, targets, generator="zero")
    task()
    if not on_gpu(device):
        with no_waits(count=True) as seen:
            task()
        return len(seen.found)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            task()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(one.message) for one in found)


WAITS = {"a step": step_waits, "ranking 200 users": ranking_waits}


# ---- what the time goes to ----


def kernels_of(kind, log, precision, device, small=False):
    "The kernels of a step by their time."
    case = Case(kind, log, precision, device, small)
    case.model.train()
    batch, steps = case.batch(), 1 if small else 5
    for _ in range(3):
        case.step(batch)
    activities = torch.profiler.ProfilerActivity
    kinds = [activities.CPU, activities.CUDA] if on_gpu(device) else [activities.CPU]
    with torch.profiler.profile(activities=kinds) as profile:
        for _ in range(steps):
            case.step(batch)
        if on_gpu(device):
            torch.cuda.synchronize()
    which = "self_device_time_total" if on_gpu(device) else "self_cpu_time_total"
    events = [event for event in profile.key_averages() if getattr(event, which) > 0]
    if on_gpu(device):  # the kernels themselves, not the operations that start them
        on_device = torch.autograd.DeviceType.CUDA
        events = [event for event in events if event.device_type == on_device]
    total = sum(getattr(event, which) for event in events)
    events.sort(key=lambda event: -getattr(event, which))
    rows = [
        {
            "name": event.key[:200],
            "calls": -(-event.count // steps),
            "seconds": getattr(event, which) / 1e6 / steps,
            "share": getattr(event, which) / total,
        }
        for event in events[:SHOWN]
    ]
    return {"total_seconds": total / 1e6 / steps, "kernels": rows}
