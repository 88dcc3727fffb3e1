"""Counters and histograms of ours, by name: the same for every process, and cheap to tell.

A label has few values: never an id, a user, a URL or a caller's text. Prometheus sees `_total`
behind a counter's name and `_seconds` behind a duration's; any other unit stands in the name.
"""

from datetime import timedelta
from typing import NamedTuple

from temporalio.common import MetricMeter

from activities.provider.wire import Call
from workflows.contracts.activities import Verdict
from workflows.contracts.terms import Terms

SECONDS = "duration"
"""The unit that the SDK writes as seconds."""

BUCKETS: dict[str, tuple[float, ...]] = {
    "stillmotion_generation_duration": (10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 14400, 86400),
    "stillmotion_detection_delay": (0.5, 1, 2, 3, 5, 8, 12, 15, 20, 30, 60, 300, 3600),
    "stillmotion_provider_request": (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
    "stillmotion_llm_request": (0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120),
}
"""Upper bounds in seconds: from a second's work to a parked generation; a detection delay around
the poll's interval of 3 to 15 s."""

SUBMISSION_OUTCOMES = ("accepted", "ambiguous", "in_flight", "overloaded", "refused")


class Ending(NamedTuple):
    """A generation that has ended: what it was, and how long it took."""

    operation: str
    source: str
    model: str
    """`none` where it was refused before it had terms: a caller's word is no label."""
    lasted: timedelta


class Instruments:
    """Made once per process."""

    def __init__(self, meter: MetricMeter = MetricMeter.noop) -> None:
        self._reserved = meter.create_counter(
            "stillmotion_generations_reserved", "Generations whose video and cost were held"
        )
        self._ended = meter.create_counter(
            "stillmotion_generations_ended", "Generations that ended, by status and failure kind"
        )
        self._lasted = meter.create_histogram_timedelta(
            "stillmotion_generation_duration", "From the claim to the video", SECONDS
        )
        self._held = meter.create_counter(
            "stillmotion_reserved_usd_micros", "What was held, summed up"
        )
        self._settled = meter.create_counter(
            "stillmotion_settled_usd_micros", "What users were booked at the end, summed up"
        )
        self._submissions = meter.create_counter(
            "stillmotion_submissions", "Paid POSTs by their outcome"
        )
        self._verdicts = meter.create_counter(
            "stillmotion_reconciliations", "Looks for lost predictions by their verdict"
        )
        self._requests = meter.create_counter(
            "stillmotion_provider_requests", "Requests to the provider by operation and answer"
        )
        self._request_s = meter.create_histogram_timedelta(
            "stillmotion_provider_request", "How long the provider took to answer", SECONDS
        )
        self._asked = meter.create_counter("stillmotion_llm_requests", "Questions by their outcome")
        self._asked_s = meter.create_histogram_timedelta(
            "stillmotion_llm_request", "How long the LLM took to answer", SECONDS
        )
        self._delay = meter.create_histogram_timedelta(
            "stillmotion_detection_delay",
            "From the provider's completion, by its own times, to our seeing it",
            SECONDS,
        )

        self._show_zeros()

    def _show_zeros(self) -> None:
        """Prometheus sees no increase in a series that begins with its first event.

        Of counters with few label values; whoever asks for an increase of another counts a young
        series as a whole (`deploy/prometheus/alerts.yml`).
        """
        self._settled.add(0)
        for outcome in SUBMISSION_OUTCOMES:
            self._submissions.add(0, {"outcome": outcome})
        for verdict in Verdict:
            self._verdicts.add(0, {"verdict": verdict.value})

    def reserved(self, terms: Terms) -> None:
        """Video and cost are held."""
        model = {"operation": terms.operation, "model": terms.quote.model}
        self._reserved.add(1, model | {"source": terms.source})
        self._held.add(terms.quote.cost_usd_micros, model)

    def ended(self, ending: Ending, status: str, kind: str = "none") -> None:
        """It is over; only after the commit."""
        model = {"operation": ending.operation, "model": ending.model}
        self._ended.add(1, model | {"source": ending.source, "status": status, "kind": kind})
        if status == "completed":
            self._lasted.record(ending.lasted, model)

    def settled(self, usd_micros: int) -> None:
        """A user was booked; only after the commit."""
        self._settled.add(usd_micros)

    def submitted(self, outcome: str) -> None:
        """One of `SUBMISSION_OUTCOMES`."""
        self._submissions.add(1, {"outcome": outcome})

    def reconciled(self, verdict: Verdict) -> None:
        """A look for a lost prediction has ended."""
        self._verdicts.add(1, {"verdict": verdict.value})

    def requested(self, call: Call) -> None:
        """A request to the provider and its answer."""
        self._requests.add(1, {"operation": call.operation, "answer": call.answer})
        self._request_s.record(timedelta(seconds=call.seconds), {"operation": call.operation})

    def asked(self, outcome: str, seconds: float) -> None:
        """A question to the LLM: `answered`, or the leaf of `LlmError` that it ended with."""
        self._asked.add(1, {"outcome": outcome})
        self._asked_s.record(timedelta(seconds=seconds))

    def detected(self, delay: timedelta) -> None:
        """A job's end was seen; by two clocks, so not below zero."""
        self._delay.record(max(delay, timedelta()))
