"""`make evidence`: each promise about money and faults, shown in its long form, a line each.

    python -m tests.evidence [--only PREFIX] [--list]

The tests named here run in `make test` too, with smaller numbers: STILLMOTION_EVIDENCE=1 makes them
large. What a command says goes to a file per promise, whose name is told where it fails.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parents[1]
TESTS = REPOSITORY / "tests"
LIMIT_S = 3600
"""For one promise; the longest takes about a quarter of an hour on two cores."""
TEST_TIMEOUT_S = 1800
CHAOS = ("-m", "tests.chaos")


class Promise(NamedTuple):
    """What is promised, and what shows it: test files by name, or a module with its flags."""

    name: str
    text: str
    files: tuple[str, ...] = ()
    module: tuple[str, ...] = ()


PROMISES = (
    Promise(
        "admission",
        "200 parallel starts on a plan with 10 left: exactly 10 reserve",
        ("test_parallel_starts.py",),
    ),
    Promise(
        "admission-machine",
        "the ledger's state machine explains 1,000 examples by a serial order",
        ("test_ledger_machine.py",),
    ),
    Promise("no-float", "no float in any money path", ("test_money_is_never_a_float.py",)),
    Promise(
        "bills",
        "the user is settled min(bill, quote), and corrected by entries",
        ("test_settled_by_the_bill.py", "test_bills_settled.py", "test_bills_read_later.py"),
    ),
    Promise(
        "ambiguities",
        "every ambiguity of the submit ends adopted, absent or unresolved",
        ("test_ambiguities.py", "test_killed_and_frozen.py"),
    ),
    Promise("weather", "each weather of the provider has its kind", ("test_weather.py",)),
    Promise(
        "sweeper",
        "what a crash leaves behind is found",
        ("test_sweeper.py", "test_batch_cancelled.py"),
    ),
    Promise(
        "chaos-300",
        "300 generations under mixed faults and kills: nothing double, all accounted for",
        module=(*CHAOS, "--generations", "300"),
    ),
    Promise(
        "chaos-guards",
        "with a guard taken out the chaos suite fails, each of five",
        ("test_chaos_guards.py", "test_chaos_episodes.py"),
    ),
    Promise(
        "killed-50",
        "a worker killed between the POST and its reply, 50 times: 50 predictions, 50 videos",
        module=(*CHAOS, "--only", "killed-after-post", "--times", "50"),
    ),
    Promise(
        "frozen-50",
        "a worker frozen there past every timeout, 50 times: the same",
        module=(*CHAOS, "--only", "frozen-after-post", "--times", "50"),
    ),
    Promise(
        "temporal-killed",
        "the Temporal server killed and restarted on its data under load: nothing lost",
        module=(*CHAOS, "--only", "temporal-killed", "--generations", "40"),
    ),
    Promise(
        "postgres-killed",
        "PostgreSQL killed and restarted on its data under load: nothing lost",
        module=(*CHAOS, "--only", "postgres-killed", "--generations", "40"),
    ),
    Promise(
        "rolling-restart",
        "a rolling restart under load with versioning on: no failed generation",
        ("test_rolling_restart.py",),
    ),
    Promise(
        "webhooks",
        "completion is noticed within 1 s by webhook; forged ones are refused",
        ("test_webhooks_end_to_end.py", "test_api_webhooks.py"),
    ),
    Promise(
        "fairness",
        "100 jobs of one user don't starve another's one",
        ("test_fair_shares.py",),
    ),
    Promise(
        "replay",
        "replay notices every step of the workflows that is swapped or left out",
        ("test_replay_catches_mutants.py", "test_replay_histories.py"),
    ),
    Promise(
        "secrets",
        "after a whole run no secret stands where it must not",
        ("test_after_a_whole_run.py",),
    ),
    Promise(
        "fuzz",
        "the parsers of everything from outside bear long fuzzing",
        ("test_foreign_files.py", "test_foreign_replies.py", "test_api_fuzz.py"),
    ),
    Promise(
        "api",
        "no request is answered by 5xx or as the document does not say; nobody sees another's",
        ("test_api_document.py", "test_api_examples.py", "test_api_owners.py"),
    ),
)


class Shown(NamedTuple):
    """How it went; `why` where it was not shown."""

    promise: Promise
    seconds: float
    why: str | None


def main(argv: Sequence[str] | None = None) -> int:
    """Show what was asked for; 0 where all of it was shown."""
    given = _parser().parse_args(argv)
    chosen = [each for each in PROMISES if each.name.startswith(given.only)]
    if not chosen:
        names = ", ".join(each.name for each in PROMISES)
        sys.stderr.write(f"--only: no promise begins with {given.only!r}; there are {names}\n")
        return 2
    if given.list:
        sys.stdout.writelines(f"{each.name:<18} {each.text}\n" for each in chosen)
        return 0
    logs = Path(tempfile.mkdtemp(prefix="stillmotion-evidence-"))
    shown = 0
    for promise in chosen:
        outcome = show(promise, logs / f"{promise.name}.log")
        shown += outcome.why is None
        sys.stdout.write(_line(outcome) + "\n")
        sys.stdout.flush()
    sys.stdout.write(f"{shown} of {len(chosen)} promises shown\n")
    return 0 if shown == len(chosen) else 1


def show(promise: Promise, log: Path) -> Shown:
    """Run what shows a promise, its output into `log`."""
    missing = [name for name in promise.files if _found(name) is None]
    if missing:
        return Shown(promise, 0.0, f"there is no {', '.join(missing)}")
    began = time.monotonic()
    with log.open("wb") as output:
        try:
            code = subprocess.run(
                _argv(promise),
                cwd=REPOSITORY,
                env=os.environ | {"STILLMOTION_EVIDENCE": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=LIMIT_S,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return Shown(promise, LIMIT_S, f"it takes over {LIMIT_S} s: {log}")
    seconds = time.monotonic() - began
    if code != 0:
        return Shown(promise, seconds, f"exit code {code}: {log}")
    skipped = re.search(r"\b[1-9]\d* skipped", log.read_text("utf-8", "replace"))
    return Shown(promise, seconds, f"{skipped[0]}: {log}" if skipped else None)


def _argv(promise: Promise) -> list[str]:
    if promise.module:
        return [sys.executable, *promise.module]
    files = [str(_found(name)) for name in promise.files]
    return [sys.executable, "-m", "pytest", "-q", "-o", f"timeout={TEST_TIMEOUT_S}", *files]


def _found(name: str) -> Path | None:
    """A test file by its name, which is unique in the tree."""
    return next(TESTS.rglob(name), None)


def _line(outcome: Shown) -> str:
    verdict = "shown" if outcome.why is None else "NOT SHOWN"
    told = f"{verdict:<9} {outcome.seconds:6.0f} s  {outcome.promise.name}: {outcome.promise.text}"
    return told if outcome.why is None else f"{told} ({outcome.why})"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.evidence", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", default="", metavar="PREFIX", help="of the promises' names")
    parser.add_argument("--list", action="store_true", help="what there is, without running it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
