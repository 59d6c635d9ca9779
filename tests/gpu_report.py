"What `tests/gpu.py` writes: the shape of its JSON, and its tables."

NUMBER = (int, float)
STATUS = {"passed", "failed", "skipped"}
_JUDGED = {"status": STATUS, "reason": (str, None)}
_TIME = {
    "log": str,  # which data
    "model": str,
    "task": str,  # what was timed
    "setting": str,  # how it was computed
    "precision": str,
    "seconds": (*NUMBER, None),
    "peak_bytes": (int, None),  # most memory that tensors took
    "note": (str, None),  # what else was found
}
SCHEMA = {
    "format": int,
    "environment": {
        "device": str,
        "name": str,
        "driver": (str, None),
        "capability": (str, None),
        "memory_bytes": (int, None),
        "torch": str,
        "cuda": (str, None),
        "cudnn": (int, None),
        "python": str,
        "system": str,
        "threads": int,
        "allocator": str,  # the environment's settings for PyTorch's memory
        "has": {
            "bf16": bool,
            "fp16": bool,
            "TF32": bool,
            "varlen_attn": bool,
            "linear_cross_entropy": bool,
        },
    },
    "options": {
        "minutes": NUMBER,
        "data": (str, None),
        "small": bool,
        "only": [str],
    },
    "cells": [{"notebook": str, "cell": int, "seconds": (*NUMBER, None), **_JUDGED}],
    "parity": [
        {
            "model": str,
            "what": str,
            "difference": (*NUMBER, None),  # the greatest distance from the CPU's numbers
            "largest": (*NUMBER, None),  # the greatest of those numbers
            "limit": (*NUMBER, None),  # of the difference
            **_JUDGED,
        }
    ],
    "waits": [{"model": str, "what": str, "waits": (int, None), **_JUDGED}],
    "times": [{**_TIME, **_JUDGED}],
    "kernels": [
        {
            "log": str,
            "model": str,
            "precision": str,
            "total_seconds": (*NUMBER, None),  # of all kernels of a step
            "kernels": [{"name": str, "calls": int, "seconds": NUMBER, "share": NUMBER}],
            **_JUDGED,
        }
    ],
    "seconds": NUMBER,
    "summary": {"passed": int, "failed": int, "skipped": int},
}
MARK = "@row "  # in front of a worker's row, so that nothing else it prints is taken for one
AGAIN = "the rest needs a new process"  # what a worker says after an error
SECTIONS = ("parity", "waits", "cells", "times", "kernels")


def problems(value, schema=SCHEMA, place=""):
    "A line for each place where a value is not as the schema says; none where all is well."
    if isinstance(schema, dict):
        if not isinstance(value, dict):
            return [f"{place or 'all of it'}: {value!r} is no object"]
        found = [f"{place}.{name} is missing" for name in schema.keys() - value.keys()]
        found += [f"{place}.{name} is unknown" for name in value.keys() - schema.keys()]
        for name in schema.keys() & value.keys():
            found += problems(value[name], schema[name], f"{place}.{name}")
        return sorted(found)
    if isinstance(schema, list):
        if not isinstance(value, list):
            return [f"{place}: {value!r} is no list"]
        inside = (problems(one, schema[0], f"{place}[{i}]") for i, one in enumerate(value))
        return [line for lines in inside for line in lines]
    if isinstance(schema, set):
        return [] if value in schema else [f"{place}: {value!r} is none of {sorted(schema)}"]
    kinds = schema if isinstance(schema, tuple) else (schema,)
    if any(value is None if kind is None else type(value) is kind for kind in kinds):
        return []
    names = " or ".join("null" if kind is None else kind.__name__ for kind in kinds)
    return [f"{place}: {value!r} is no {names}"]


def summary(report):
    "How many rows of all sections passed, failed, were skipped."
    rows = [row for section in SECTIONS for row in report[section]]
    return {one: sum(row["status"] == one for row in rows) for one in sorted(STATUS)}


def table(rows):
    "Rows of text in columns, as lines."
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def verdict(row):
    "How a row went, and why where it did not pass."
    return row["status"] if row["reason"] is None else f"{row['status']}: {row['reason']}"


def amount(value, pattern, scale=1):
    "A number as text; nothing where there is none."
    return "" if value is None else pattern.format(value / scale)


def _cells(rows):
    yield ["notebook", "cell", "s", ""]
    for row in rows:
        yield [row["notebook"], str(row["cell"]), amount(row["seconds"], "{:.1f}"), verdict(row)]


def _parity(rows):
    yield ["model", "what", "difference", "of at most", ""]
    for row in rows:
        far = [amount(row[name], "{:.1e}") for name in ("difference", "limit")]
        yield [row["model"], row["what"], *far, verdict(row)]


def _waits(rows):
    yield ["model", "what", "waits", ""]
    for row in rows:
        yield [row["model"], row["what"], amount(row["waits"], "{:.0f}"), verdict(row)]


def _times(rows):
    yield ["log", "model", "task", "setting", "precision", "ms", "MB", "note", ""]
    for row in rows:
        names = [row[name] for name in ("log", "model", "task", "setting", "precision")]
        took = amount(row["seconds"], "{:.2f}", 1e-3)
        peak = amount(row["peak_bytes"], "{:.0f}", 2**20)
        yield [*names, took, peak, row["note"] or "", verdict(row)]


def _kernels(rows):
    yield ["log", "model", "ms a step", "share", "calls", "kernel"]
    for row in rows:
        if row["status"] != "passed":
            yield [row["log"], row["model"], "", "", "", verdict(row)]
        for one in row["kernels"]:
            numbers = [f"{1e3 * one['seconds']:.3f}", f"{one['share']:.0%}", str(one["calls"])]
            yield [row["log"], row["model"], *numbers, one["name"][:80]]


_TABLES = dict(zip(SECTIONS, (_parity, _waits, _cells, _times, _kernels), strict=True))


def as_text(report):
    "All of it, for the terminal."
    facts = dict(report["environment"])
    facts["has"] = ", ".join(name for name, there in facts["has"].items() if there) or "nothing"
    lines = ["environment", *table([[name, str(value)] for name, value in facts.items()])]
    for section in SECTIONS:
        if report[section]:
            lines += ["", section, *table(list(_TABLES[section](report[section])))]
    counts = ", ".join(f"{count} {name}" for name, count in report["summary"].items())
    return "\n".join([*lines, "", f"{counts}, in {report['seconds']:.0f} s"])
