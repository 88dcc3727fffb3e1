"""How long a model usually takes: the catalogue's guess, corrected by what it took lately."""

from statistics import median

from activities.database.pool import Pool
from activities.generations import repository as generations
from workflows.contracts.catalogue import ModelEntry

RUNS = 20
"""The newest runs that count: a provider's speed changes within days."""

RUNS_MIN = 3
"""Fewer say less than the catalogue does."""


async def usual_s(pool: Pool, entry: ModelEntry, duration_s: float, provider: str) -> int:
    """Seconds from the acceptance to the end of the job, for a video of `duration_s` seconds.

    The median of what recent runs took, each in relation to the catalogue's guess for its own
    length, so that a short avatar says something of a long one.
    """
    guess_s = entry.expected.seconds(duration_s)
    runs = await pool.fetch(generations.SQL["recent_runs"], entry.model, provider, RUNS)
    if len(runs) < RUNS_MIN:
        return guess_s
    ratio = median(row["took_s"] / entry.expected.seconds(row["duration_s"]) for row in runs)
    return max(1, round(guess_s * ratio))
