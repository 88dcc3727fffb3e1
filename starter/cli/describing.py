"""A generation in words and columns for people."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from starter.cli.output import Block, Fields, Table
from starter.cli.refusals import Complaint, refused
from workflows.contracts.texts import dollars

if TYPE_CHECKING:
    from activities.generations.reading import Event
    from workflows.contracts.results import Generation

_PROMPT_CHARACTERS_MAX = 80


def complaint_of(generation: "Generation") -> Complaint | None:
    """Why it failed or is parked, with what to type next; None where nothing is wrong."""
    error = generation.error
    if error is None:
        return None
    return refused(error, generation.generation_id)


def generation_blocks(
    generation: "Generation", *, money: str | None = None, link: str | None = None
) -> list[Block]:
    """Every field that is known."""
    cost, quoted = generation.cost_usd_micros, generation.quoted_usd_micros
    error = complaint_of(generation)
    rows = [
        ("id", generation.generation_id),
        ("status", _status(generation)),
        ("operation", generation.operation.value),
        ("user", f"{generation.user_id} ({generation.source.value})"),
        ("model", generation.model),
        ("video", video_of(generation) or None),
        ("file", generation.file_path or generation.url),
        ("poster", generation.poster_path),
        ("size", megabytes(generation.file_size_bytes)),
        ("sha256", generation.sha256),
        ("asset", generation.asset_id),
        ("prompt", generation.prompt),
        ("prompt by", generation.prompt_by),
        ("prediction", generation.prediction_id),
        ("provider", generation.provider),
        ("cost", dollars(cost) if cost is not None else None),
        ("quoted", dollars(quoted) if quoted is not None else None),
        ("money", money),
        ("created", local(generation.created_at)),
        ("ended", local(generation.completed_at) if generation.completed_at else None),
        *(("warning", warning) for warning in generation.warnings),
        ("error", f"{error.kind}: {error.message}" if error else None),
        ("next", error.hint if error else None),
        ("web ui", link),
    ]
    return [Fields(rows)]


def generation_table(generations: "list[Generation]") -> Table:
    """One line each."""
    start = ("id", "status", "operation", "model", "video", "cost")
    headings = (*start, "user", "started", "prompt by", "prompt")
    droppable = ("prompt by", "user", "started", "operation", "model", "prompt", "cost")
    return Table(headings, [_row(generation) for generation in generations], droppable)


def stage_table(events: "list[Event]") -> Table:
    """When each stage began, and how long it took."""
    ends = [event.at for event in events[1:]]
    rows: list[tuple[str, str, str]] = []
    for event, end in zip(events, [*ends, None], strict=True):
        took = f"{(end - event.at).total_seconds():.1f} s" if end is not None else ""
        rows.append((event.stage.value, local(event.at), took))
    return Table(("stage", "at", "took"), rows)


def video_of(generation: "Generation") -> str:
    """Length and size, as far as they are known."""
    parts = [
        f"{generation.duration_s:.1f} s" if generation.duration_s is not None else None,
        f"{generation.width}x{generation.height}" if generation.width is not None else None,
        f"({generation.resolution})" if generation.resolution is not None else None,
    ]
    return " ".join(part for part in parts if part)


def megabytes(size_bytes: int | None) -> str | None:
    """A file's size for people."""
    return None if size_bytes is None else f"{size_bytes / 1_048_576:.1f} MB"


def one_line(text: str) -> str:
    """A prompt's beginning, for a table."""
    line = " ".join(text.split())
    if len(line) <= _PROMPT_CHARACTERS_MAX:
        return line
    return line[: _PROMPT_CHARACTERS_MAX - 1] + "…"


def local(at: datetime) -> str:
    """A time on the reader's clock."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def iso(at: datetime) -> str:
    """A time for scripts: UTC, as pydantic writes it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _row(generation: "Generation") -> tuple[str, ...]:
    cost = generation.cost_usd_micros
    return (
        generation.generation_id,
        generation.status.value,
        generation.operation.value,
        generation.model or "",
        video_of(generation),
        dollars(cost) if cost is not None else "",
        generation.user_id,
        local(generation.created_at),
        generation.prompt_by or "",
        one_line(generation.prompt or ""),
    )


def _status(generation: "Generation") -> str:
    status, stage = generation.status.value, generation.stage.value
    return status if status == stage else f"{status} ({stage})"
