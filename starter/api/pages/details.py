"""One video in full: what was asked, who wrote the prompt, what it cost, how long stages took."""

import re
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from activities.generations import repository as generations
from activities.generations.reading import Event
from activities.library.edits import TITLE_CHARACTERS_MAX
from starter.api.documents import told
from starter.api.pages.cards import Card, card_of
from starter.api.pages.words import megabytes, seconds
from starter.api.parts import Parts
from workflows.contracts.failures import Failure
from workflows.contracts.results import Generation
from workflows.contracts.stages import TERMINAL, Stage
from workflows.contracts.texts import dollars

_REQUESTS = (
    (re.compile(r"POST /v1/generations/\S+/resume"), "press “Look now”"),
    (re.compile(r"Decide: POST /v1/generations/\S+/resolve\.?"), "An operator has to decide."),
    (re.compile(r"See: GET /v1/generations/\S+"), "What happened stands below."),
    (re.compile(r"GET /v1/usage"), "the page “Usage”"),
)
"""What the API calls a request has a button or a page here."""


class Fact(NamedTuple):
    """A line of the list of facts."""

    name: str
    value: str
    is_exact: bool = False
    """To be compared letter by letter, such as an id."""


class Step(NamedTuple):
    """A stage, and where it lies in the whole."""

    stage: Stage
    took_s: float | None
    """None for the last one: it goes on, or is the end."""
    from_percent: float
    wide_percent: float


async def values_of(parts: Parts, generation: Generation) -> dict[str, object]:
    """What the template of one generation shows.

    Raises:
        UnknownGeneration: it was erased meanwhile.
    """
    generation_id, reader = generation.generation_id, parts.client.reader
    facts = await reader.progress(generation_id, generation.user_id)
    request = await parts.pool.fetchval(generations.SQL["request"], generation_id)
    events = await reader.events(generation_id, user_id=generation.user_id)
    card = await card_of(parts, generation)
    why = told(generation.error)
    return {
        "card": card,
        "generation": generation,
        "facts": _facts(parts, generation, card, request or {}, facts.money),
        "steps": steps_of(events, datetime.now(UTC)),
        "problem": None if why is None else in_page_words(why),
        "web_ui": _web_ui(parts, generation_id),
        "title_characters_max": TITLE_CHARACTERS_MAX,
    }


def in_page_words(failure: Failure) -> Failure:
    """What the API says of a failure, to somebody who has buttons."""
    hint = failure.hint
    for theirs, ours in _REQUESTS:
        hint = theirs.sub(ours, hint)
    return failure.model_copy(update={"hint": hint})


def steps_of(events: list[Event], now: datetime) -> list[Step]:
    """The stages that it went through, each with its share of the whole time."""
    if not events:
        return []
    starts = [event.at for event in events]
    goes_on = events[-1].stage not in TERMINAL
    ends = [*starts[1:], now if goes_on else starts[-1]]
    whole_s = max((ends[-1] - starts[0]).total_seconds(), 0.001)
    steps: list[Step] = []
    for event, end in zip(events, ends, strict=True):
        took_s = max(0.0, (end - event.at).total_seconds())
        since_s = (event.at - starts[0]).total_seconds()
        last = event is events[-1]
        share, begun = took_s / whole_s * 100, since_s / whole_s * 100
        steps.append(Step(event.stage, None if last else took_s, min(begun, 100.0), share))
    return steps


def _facts(
    parts: Parts, generation: Generation, card: Card, request: dict[str, Any], money: str
) -> list[Fact]:
    """Everything that is known of it; what isn't known is left out."""
    size = f"{generation.width}x{generation.height}" if generation.width else None
    length = seconds(generation.duration_s) if generation.duration_s is not None else None
    bytes_ = generation.file_size_bytes
    cost, quoted = generation.cost_usd_micros, generation.quoted_usd_micros
    has_file = card.asset_id is not None
    known = (
        ("Model", generation.model, False),
        ("Provider", generation.provider, False),
        ("Seed", _seed(parts, generation, request), False),
        ("Length", length, False),
        ("Resolution", ", ".join(filter(None, (generation.resolution, size))) or None, False),
        ("Quoted", None if quoted is None else dollars(quoted), False),
        ("Billed", None if cost is None else dollars(cost), False),
        ("Money", money, False),
        ("File", megabytes(bytes_) if has_file and bytes_ is not None else None, False),
        ("SHA-256", generation.sha256 if has_file else None, True),
        ("Id", generation.generation_id, True),
        ("Asset", card.asset_id, True),
        ("Prediction", generation.prediction_id, True),
    )
    return [Fact(name, value, exact) for name, value, exact in known if value is not None]


def _seed(parts: Parts, generation: Generation, request: dict[str, Any]) -> str | None:
    """The seed that was asked for; None where the model has none."""
    seed = request.get("seed")
    if seed is not None and seed >= 0:
        return str(seed)
    models = (entry for entry in parts.client.catalogue.models if entry.model == generation.model)
    has_one = any("seed" in entry.parameters for entry in models)
    return "another one each time" if has_one else None


def _web_ui(parts: Parts, generation_id: str) -> str | None:
    """The workflow's page in Temporal's Web UI, where we know its address: under `dev`."""
    stack = parts.place.stack
    if stack is None:
        return None
    # A caller's own id is any text.
    return f"{stack.temporal_ui}/namespaces/default/workflows/{quote(generation_id, safe='')}"
