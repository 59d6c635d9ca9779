"""Test and measure everything on a GPU, within a time, and write one JSON file.

    python tests/gpu.py                  # all of it, 9 minutes at most: runs/gpu.json
    python tests/gpu.py --only parity waits --minutes 3
    python tests/gpu.py --data baby      # a data set or a file, beside the made logs

Needs PyTorch and this package, but neither nbdev nor a network. It tells what it runs on; compares
losses, gradients, vectors, scores and recommendations of every model with those of a CPU; looks
whether the host waits in a step; runs the notebooks' cells marked `#| cuda`; times training and
ranking in all kinds of arithmetic, eager and compiled, as a CUDA graph, with each of PyTorch's
attention kernels; and names the kernels that take longest. Where a setting does not exist, its row
says so. A failed row gives exit code 1; without a GPU there is one line and exit code 2.
"""

import argparse
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import gpu_cells
from gpu_report import AGAIN, MARK, SECTIONS, as_text, problems, summary, verdict

ROOT = Path(__file__).resolve().parents[1]
MINUTES = 9.0
LIMIT = 180  # seconds for one row
INTERRUPTED = "interrupted"
BLANK = {
    "parity": {"difference": None, "largest": None, "limit": None},
    "waits": {"waits": None},
    "cells": {"seconds": None},
    "times": {"seconds": None, "peak_bytes": None, "note": None},
    "kernels": {"total_seconds": None, "kernels": []},
}


class Clock:
    "The time that is left."

    def __init__(self, minutes):
        self.begun = time.monotonic()
        self.end = self.begun + 60 * minutes
        self.why = f"time is up (--minutes {minutes:g})"

    @property
    def passed(self):
        "Seconds since the beginning."
        return time.monotonic() - self.begun

    @property
    def left(self):
        "Seconds, 0 or more."
        return max(0.0, self.end - time.monotonic())

    def stop(self, why):
        "Nothing more is begun."
        self.end, self.why = 0.0, why

    def say(self, text):
        "A line of progress."
        minutes, seconds = divmod(int(self.passed), 60)
        print(f"[{minutes:>2}:{seconds:02}] {text}", file=sys.stderr, flush=True)


# ---- one process ----


def _lines(stream, found):
    "Hand on what a process prints, then None."
    for line in stream:
        found.put(line)
    found.put(None)


def _end(process):
    "Kill a process and whatever it started."
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def ask(order, clock, limit=LIMIT):
    "Rows of a worker as they come, (number, row) pairs; at the end (None, why it stopped early)."
    command = [sys.executable, str(ROOT / "tests" / "gpu_worker.py")]
    places = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as said:
        env = os.environ | {"PYTHONPATH": os.pathsep.join(places), "TQDM_DISABLE": "1"}
        env |= {"ADREC_NB_RUNS": folder, "MPLBACKEND": "Agg", "PYTHONUNBUFFERED": "1"}
        streams = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True)
        process = subprocess.Popen(command, cwd=ROOT, env=env, start_new_session=True, **streams)
        try:
            process.stdin.write(json.dumps(order))
            process.stdin.close()
            yield from _received(process, clock, limit)
            said.seek(0)
            lines = said.read().split("\n")
            if process.wait() != 0:
                words = next((line for line in reversed(lines) if line.strip()), "nothing")
                yield None, f"its process ended with {process.returncode}: {words.strip()[:200]}"
        finally:
            _end(process)


def _received(process, clock, limit):
    "The rows among what it prints; (None, why) and its end where it takes too long."
    found = queue.Queue()
    threading.Thread(target=_lines, args=(process.stdout, found), daemon=True).start()
    while True:
        try:
            line = found.get(timeout=min(limit, clock.left))
        except queue.Empty:
            yield None, f"took longer than {limit} s" if clock.left else clock.why
            _end(process)
            return
        if line is None:
            return
        if line.startswith(MARK):
            yield json.loads(line.removeprefix(MARK))


def progress(section, task, row):
    "What was measured, in a line."
    what = ", ".join(map(str, task.values()))
    if row.get("status") != "passed":
        return f"{section}: {what}: {verdict(row)}" if "status" in row else f"{section}: known"
    took = row.get("seconds")
    return f"{section}: {what}" + ("" if took is None else f": {1e3 * took:.2f} ms")


def finish(section, tasks, clock, options, limit=LIMIT):
    "Results of all tasks, in their order, whatever happens to the processes that measure them."
    results = [None] * len(tasks)
    while None in results and clock.left:
        open_ = [i for i, result in enumerate(results) if result is None]
        order = {"section": section, "tasks": [tasks[i] for i in open_], **options}
        why = None
        try:
            for number, row in ask(order, clock, limit):
                if number is None:
                    why = why or row
                else:
                    results[open_[number]] = row
                    clock.say(progress(section, tasks[open_[number]], row))
        except KeyboardInterrupt:
            clock.stop(INTERRUPTED)
        left = [i for i in open_ if results[i] is None]
        if not left or not clock.left:
            break
        if why == AGAIN:
            continue
        # the first one that is missing is what its process ended at; a notebook is not run again
        for i in left if section == "cells" else left[:1]:
            results[i] = {"status": "failed", "reason": why or "no result came back"}
    late = {"status": "skipped", "reason": clock.why}
    return [late if result is None else result for result in results]


# ---- everything ----


def groups(data, root=ROOT):
    "(section, tasks) pairs; a process each, in the order of their importance."
    import gpu_measure as measure

    parity = [{"model": m, "what": what} for m in measure.KINDS for what in measure.COMPARED]
    waits = [{"model": m, "what": what} for m in measure.KINDS for what in measure.WAITS]
    cells = [
        ("cells", [{"notebook": place, "cell": number} for number in numbers])
        for place, numbers in gpu_cells.with_cuda_cells(root).items()
    ]
    labs = [group for group in cells if "/labs/" in group[1][0]["notebook"]]
    names = [*measure.LOGS, *([data] if data else [])]
    times = [("times", list(measure.time_rows(log))) for log in names]
    kernels = [
        {"log": log, "model": model, "precision": precision}
        for log in names
        for model, precision in (("ADRec", "bf16"), ("ADRec", "fp32"), ("DiffuRec", "bf16"))
    ]
    first = [("parity", parity), ("waits", waits)]
    return [*first, *(c for c in cells if c not in labs), *times, ("kernels", kernels), *labs]


def parse(arguments):
    "The command line."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=MINUTES, help="stop after so long")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "gpu.json")
    parser.add_argument("--data", help="a data set or a file, timed beside the made logs")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--device", default="cuda", help="cpu: a try of this program itself")
    parser.add_argument("--small", action="store_true", help="tiny models and logs")
    return parser.parse_args(arguments)


def report_of(args, facts, done, clock):
    "What is written: everything measured so far."
    rows = {section: [] for section in SECTIONS}
    for section, task, result in done:
        rows[section].append({**task, **BLANK[section], **result})
    options = {"minutes": args.minutes, "data": args.data, "small": args.small, "only": args.only}
    report = {"format": 1, "environment": facts, "options": options, **rows}
    return report | {"seconds": clock.passed, "summary": summary(report)}


def write(report, path):
    "Whole or not at all."
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def measure_all(args, clock):
    "Group after group; the file is written after each."
    options = {"device": args.device, "small": args.small}
    first = Clock(minutes=LIMIT / 60)  # known in any case
    facts = finish("environment", [{"section": "environment"}], first, options)[0]
    if "device" not in facts:
        raise SystemExit(f"nothing can be measured: {facts['reason']}")
    wanted, done = [one for one in groups(args.data) if one[0] in args.only], []
    for place, (section, tasks) in enumerate(wanted):
        results = finish(section, tasks, clock, options)
        done += [(section, *pair) for pair in zip(tasks, results, strict=True)]
        late = {"status": "skipped", "reason": "not reached"}
        rest = [(name, task, late) for name, tasks in wanted[place + 1 :] for task in tasks]
        report = report_of(args, facts, done + rest, clock)
        write(report, args.out)
    return report


def wrong_data(name):
    "What is wrong with a data set or a file, in one line."
    from adrec_nb.locate import find_data

    try:
        find_data(name, None)
    except ValueError as error:
        return str(error)


def main(arguments=None):
    "Measure, print, write; the exit code says how it went."
    args = parse(arguments)
    try:
        import torch
    except ImportError as error:
        print(f"tests/gpu.py needs PyTorch: {error}", file=sys.stderr)
        return 2
    sys.path.insert(0, str(ROOT))
    if args.device != "cpu" and not torch.cuda.is_available():
        print(f"no GPU: PyTorch {torch.__version__} finds none on this machine", file=sys.stderr)
        return 2
    if args.data and (problem := wrong_data(args.data)):
        print(problem, file=sys.stderr)
        return 2
    clock = Clock(args.minutes)
    report = measure_all(args, clock)
    wrong = problems(report)
    print(as_text(report))
    print(f"{args.out}: written", file=sys.stderr)
    for line in wrong:
        print(f"not as it should be: {line}", file=sys.stderr)
    if clock.why == INTERRUPTED:
        return 130
    return 1 if wrong or report["summary"]["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
