"""`python -m benchmarks`: run everything, print a table with goals and verdicts."""

import asyncio
import statistics
import sys

from benchmarks import media

WHAT = "fetch, hash and store 300 MB / plain stream to disk"


def main() -> None:
    """Measure, print, judge."""
    ratios = asyncio.run(media.throughput_ratios())
    median = statistics.median(ratios)
    met = median >= media.GOAL
    sys.stdout.write(
        "| what | min | median | max | goal | |\n|---|---|---|---|---|---|\n"
        f"| {WHAT} | {min(ratios):.2f} | {median:.2f} | {max(ratios):.2f}"
        f" | >= {media.GOAL} | {'met' if met else 'missed'} |\n"
        f"{int(met)} of 1 goals met\n"
    )


if __name__ == "__main__":
    main()
