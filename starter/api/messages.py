"""Events as Server-Sent Events: what stands in `data:`, and the bytes on the wire.

    id: 6
    event: generating
    data: {"generation_id": "gen_…", "stage": "generating", "percent": 20, …, "seq": 6, …}

Beside the events there is `event: progress`, without an id: how far a generation is by now, as far
as one can tell. It may be missed; who reads only the others misses no stage.
"""

from datetime import datetime
from typing import Any, NamedTuple

from activities.generations.following import Told
from starter.api.documents import Document, told
from starter.api.hints import over_http
from workflows.contracts.failures import Failure
from workflows.contracts.progress import Progress, ProgressFacts, estimate
from workflows.contracts.requests import Source
from workflows.contracts.stages import Stage, Status, status_of

MEDIA_TYPE = "text/event-stream"

KEEP_ALIVE = b": \n\n"
"""A comment, which readers skip."""


class ProgressDocument(Document):
    """How far a generation is now: the `data` of `event: progress`."""

    generation_id: str
    stage: Stage
    status: Status
    percent: int
    """0 to 100, an estimate."""
    message: str
    """One sentence for people."""
    eta_s: int | None
    """Seconds until the end; null where one can't tell."""


class EventDocument(ProgressDocument):
    """A generation has entered a stage: the `data` of the event that bears the stage's name.

    The progress is as of then.
    """

    seq: int
    """Counts the events of one generation, from 1 without gaps."""
    source: Source
    at: datetime
    failure: Failure | None
    """Why it failed, was cancelled or waits."""


class Message(NamedTuple):
    """One event, written once for all who follow."""

    told: Told
    body: bytes
    """All but the id, which differs: a generation's own stream counts its own events."""


def message_of(event: Told) -> Message:
    """An event, ready to be sent."""
    facts = event.facts
    seen = estimate(facts, facts.since)
    document = EventDocument(
        **_progress(facts, seen, seen.percent),
        seq=event.seq,
        source=event.source,
        at=facts.since,
        failure=told(facts.failure),
    )
    return Message(event, _written(facts.stage.value, document))


def tick_of(facts: ProgressFacts, seen: Progress, percent: int) -> bytes:
    """How far a generation is; `percent` is the highest that was told of it."""
    return _written("progress", ProgressDocument(**_progress(facts, seen, percent)))


def with_id(number: int, body: bytes) -> bytes:
    """An event under the number that a reader goes on from."""
    return b"id: %d\n" % number + body


def retry_after(wait_s: int) -> bytes:
    """How soon a reader whose stream ended is to ask again."""
    return b"retry: %d\n\n" % (wait_s * 1000)


def _progress(facts: ProgressFacts, seen: Progress, percent: int) -> dict[str, Any]:
    return {
        "generation_id": facts.generation_id,
        "stage": facts.stage,
        "status": status_of(facts.stage),
        "percent": percent,
        "message": over_http(seen.message),
        "eta_s": seen.eta_s,
    }


def _written(name: str, document: Document) -> bytes:
    # JSON escapes line breaks, so a document is one line of data.
    return f"event: {name}\ndata: {document.model_dump_json()}\n\n".encode()
