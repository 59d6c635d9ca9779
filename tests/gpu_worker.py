"""One process of `tests/gpu.py`: measures the rows it is told and writes each as a line.

A crash or a hang then costs one row, and what was measured is kept. After an error on a GPU it
leaves the rest to a new process: the error may have left CUDA unusable.
"""

import gc
import json
import sys

import gpu_cells
import gpu_measure as measure
import torch
from gpu_report import AGAIN, MARK

NOT_HERE = (  # what PyTorch says where a setting does not exist for a device
    "No available kernel",
    "No viable backend",
    "not supported",
    "unsupported",
    "not implemented",
    "requires compute capability",
    "Failed to find C compiler",
    "working triton installation",
)


def judged(measured):
    "The numbers of a function with how it went; no error gets out."
    try:
        return measured() | {"status": "passed", "reason": None}
    except measure.Unsupported as error:
        return {"status": "skipped", "reason": str(error)}
    except Exception as error:
        said = gpu_cells.last_line(error)
        status = "skipped" if any(words in str(error) for words in NOT_HERE) else "failed"
        return {"status": status, "reason": said}


def rows_of(section, tasks, device, small):
    "What is measured for these tasks: (number of the task, row) pairs."
    if section == "environment":
        yield 0, measure.environment(device)
    elif section == "cells":
        places = [(task["notebook"], task["cell"]) for task in tasks]
        found = gpu_cells.run_cells(places[0][0], here=measure.on_gpu(device))
        for number, status, reason, took in found:
            yield [cell for _, cell in places].index(number), {
                "status": status,
                "reason": reason,
                "seconds": took,
            }
    elif section == "parity":
        first = dict.fromkeys([task["model"] for task in tasks])
        for kind in first:
            yield from _compared(kind, tasks, device, small)
    else:
        for number, task in enumerate(tasks):
            yield number, judged(lambda task=task: _measured(section, task, device, small))


def _compared(kind, tasks, device, small):
    "All answers of a model; one error is the reason of each."
    places = {task["what"]: i for i, task in enumerate(tasks) if task["model"] == kind}
    rows = {}

    def fill():
        rows.update({row["what"]: row for row in measure.compared(kind, device, small)})
        return {}

    went = judged(fill)
    for what, number in places.items():
        yield number, rows.get(what, went)


def _measured(section, task, device, small):
    "The numbers of one row."
    if section == "waits":
        return {"waits": measure.WAITS[task["what"]](task["model"], device, small)}
    if section == "kernels":
        return measure.kernels_of(task["model"], task["log"], task["precision"], device, small)
    return measure.TASKS[task["task"]](task, device, small)


def main():
    "Read what to do as JSON from standard input."
    asked = json.load(sys.stdin)
    tasks, device, small = asked["tasks"], asked["device"], asked["small"]
    for number, row in rows_of(asked["section"], tasks, device, small):
        print(MARK + json.dumps([number, row]), flush=True)
        if measure.on_gpu(device) and asked["section"] in ("waits", "times", "kernels"):
            if row["status"] == "failed":
                print(MARK + json.dumps([None, AGAIN]), flush=True)
                return
            torch.compiler.reset()
            gc.collect()
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
