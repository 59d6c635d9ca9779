"""How long filtering and splitting takes, and how much memory, on logs of the shape of Yelp's.

    python tests/bench_data.py 20000000          filter, number, sort and split so many events
    python tests/bench_data.py --read 10000000   write so many lines to a file first, and read it

Not a test: it prints what this machine needs. Each size runs in a process of its own, so that its
peak memory is its own.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from adrec_nb.data import build_sequences, read_interactions

USERS, ITEMS, EVENTS = 136_346, 64_669, 1_856_992  # Yelp after filtering


def generated(n):
    "A log of n events as `read_interactions` gives it: few busy users, many rare items."
    rng = np.random.default_rng(0)
    columns = {}
    for role, many, power in (("user", USERS, 2), ("item", ITEMS, 3)):
        many = max(1, n * many // EVENTS)
        codes = (many * rng.random(n) ** power).astype(np.int32)
        columns[role] = pd.Categorical.from_codes(codes, [f"{role}{i:09}" for i in range(many)])
    stars = np.searchsorted([0.15, 0.23, 0.34, 0.56], rng.random(n)) + 1  # two of three are 4 or 5
    columns |= {"rating": stars, "timestamp": rng.integers(1_100_000_000, 1_600_000_000, n)}
    return pd.DataFrame(columns, copy=False)


def write(path, n, part=1_000_000):
    "A csv of n lines, written a million at a time."
    for start in range(0, n, part):
        generated(min(part, n - start)).to_csv(path, index=False, header=not start, mode="a")


def peak():
    "Most memory this process has held so far, in GB."
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def measure(n, path=None):
    "Print one line about one size."
    start, used = time.perf_counter(), time.process_time()
    if path:
        log = read_interactions(path)
        what = f"{len(log):>12,} lines read"
    else:
        log = generated(n)
        before, start, used = peak(), time.perf_counter(), time.process_time()
        ds = build_sequences(log)
        for which in ("train", "valid", "test"):
            ds.split(which)
        left = f"{ds.n_interactions:,} of {ds.n_users:,} users"
        what = f"{n:>12,} events, {before:4.1f} GB: {left} filtered and split"
    seconds, cpu = time.perf_counter() - start, time.process_time() - used
    print(f"{what} in {seconds:.1f} s ({cpu:.1f} s of one core), peak {peak():.1f} GB", flush=True)


def main():
    "Measure each size in a process of its own."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "events", nargs="*", type=int, default=[EVENTS, 2 * EVENTS, 5 * EVENTS, 10 * EVENTS]
    )
    parser.add_argument("--read", action="store_true", help="read a file of so many lines instead")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return measure(args.events[0], args.child if args.read else None)
    with tempfile.TemporaryDirectory() as folder:
        for n in args.events:
            path = Path(folder) / f"{n}.csv"
            if args.read:
                write(path, n)
            command = [
                sys.executable,
                __file__,
                str(n),
                "--child",
                str(path),
                *["--read"] * args.read,
            ]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
