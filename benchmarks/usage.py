"""CPU and memory of our processes by part: where a generation's cost goes."""

import os
from collections.abc import Iterable

import psutil

_PARTS = {
    "workers.sandbox": "sandbox",
    "start-dev": "temporal",
    "postgres": "postgres",
    "benchmarks.constants": "worker",
    "worker": "worker",
}
"""A part by a word of the command line, the first that occurs."""


def cpu_s_by_part() -> dict[str, float]:
    """CPU seconds since their start of each part below this process, and of ourselves.

    What a part's processes started and reaped is theirs: `decoders` are the worker's children.
    """
    spent = {"client": _own_s(os.times())}
    for process in psutil.Process().children():
        try:
            part = part_of(process.cmdline())
        except psutil.NoSuchProcess:  # Or a zombie, which has no command line any more.
            continue
        if part is None:
            continue
        for each in (process, *process.children(recursive=True)):
            own, reaped = _times_s(each)
            spent[part] = spent.get(part, 0.0) + own
            inner = "decoders" if part == "worker" else part
            spent[inner] = spent.get(inner, 0.0) + reaped
    return spent


def spent_between(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """CPU seconds by part, for those that did anything."""
    spent = {part: after[part] - before.get(part, 0.0) for part in after}
    return {part: seconds for part, seconds in spent.items() if seconds > 0}


def part_of(command: Iterable[str]) -> str | None:
    """Which part a command line is; None for what is none of ours."""
    line = " ".join(command)
    return next((part for word, part in _PARTS.items() if word in line), None)


def memory_bytes(pid: int) -> int:
    """What a process holds that others don't share: its proportional set size."""
    return psutil.Process(pid).memory_full_info().pss


def cpu_s(pid: int) -> float:
    """CPU seconds of a process itself, without its children."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def _times_s(process: psutil.Process) -> tuple[float, float]:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0, 0.0
    return times.user + times.system, times.children_user + times.children_system


def _own_s(times: os.times_result) -> float:
    return times.user + times.system
