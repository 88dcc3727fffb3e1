"""What pages call things: names of the contracts and measured values as people read them."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from urllib.parse import quote

from workflows.contracts.catalogue import AudioLimits, ImageLimits, ModelEntry
from workflows.contracts.progress import Progress
from workflows.contracts.requests import Operation
from workflows.contracts.texts import dollars

_OPERATIONS = {
    Operation.IMAGE_TO_VIDEO: "Image to video",
    Operation.SCENE_ANIMATION: "Scene animation",
    Operation.TALKING_AVATAR: "Talking avatar",
}
_PARAMETERS = {
    "duration_s": "Length",
    "resolution": "Resolution",
    "seed": "Seed",
    "negative_prompt": "What to avoid",
    "prompt_expansion": "Let the model enlarge on the prompt",
    "guidance_scale": "How closely to follow the prompt",
}
_AUTHORS = {
    "caller": "as it was given",
    "llm": "written by a language model",
    "rule": "made by rule",
}
_MEGABYTE = 1024 * 1024
_MINUTE_S = 60
_SHORT_S = 90
"""Below it seconds say more than minutes."""


def operation(name: str) -> str:
    """`image-to-video` → `Image to video`."""
    return _OPERATIONS[Operation(name)]


def words(name: str) -> str:
    """`timed_out` → `Timed out`."""
    return "API" if name == "api" else name.replace("_", " ").capitalize()


def parameter(name: str) -> str:
    """What a field of a request is called in a form."""
    return _PARAMETERS.get(name, words(name))


def choice(value: int | str, name: str) -> str:
    """One of the values of such a field."""
    return f"{value} s" if name.endswith("_s") else str(value)


def author(prompt_by: str) -> str:
    """Who made a prompt."""
    return _AUTHORS.get(prompt_by, prompt_by)


def seconds(length_s: float) -> str:
    """The length of a video: `4.8 s`."""
    return f"{round(length_s, 1):g} s"


def span(took_s: float) -> str:
    """How long something took: `0.4 s`, `3 min 5 s`."""
    if took_s < _SHORT_S:
        return f"{took_s:.1f} s"
    minutes, rest_s = divmod(round(took_s), _MINUTE_S)
    return f"{minutes} min {rest_s} s" if rest_s else f"{minutes} min"


def left(progress: Progress) -> str:
    """How far it is, and how long it may take; `static/live.js` writes the same."""
    told = f"{progress.percent} %"
    if not progress.eta_s:
        return told
    if progress.eta_s < _SHORT_S:
        return f"{told} · about {max(5, round(progress.eta_s / 5) * 5)} s left"
    return f"{told} · about {round(progress.eta_s / _MINUTE_S)} min left"


def megabytes(size_bytes: int) -> str:
    """`2.1 MB`, without a decimal that says nothing."""
    return f"{round(size_bytes / _MEGABYTE, 1):g} MB"


def iso(at: datetime) -> str:
    """A time for scripts."""
    return at.astimezone(UTC).isoformat()


def moment(at: datetime) -> str:
    """A time for people whose clock we don't know; `static/times.js` writes it by theirs."""
    known = at.astimezone(UTC)
    return f"{day(known)}, {known:%H:%M} UTC"


def day(at: date) -> str:
    """`22 Nov 2026`."""
    return f"{at.day} {at:%b %Y}"


def short_day(at: date) -> str:
    """`22 Nov`."""
    return f"{at.day} {at:%b}"


def segment(text: str) -> str:
    """An id as one segment of a path: a caller's own is any text."""
    return quote(text, safe="")


def limits_of_image(limits: ImageLimits) -> str:
    """Which pictures a model takes."""
    sides = f"{limits.side_px_min} to {limits.side_px_max} px a side"
    return f"{_kinds(limits.mime_types)}; {sides}; up to {megabytes(limits.size_bytes_max)}"


def limits_of_sound(limits: AudioLimits) -> str:
    """Which sound a model takes."""
    length = f"{limits.duration_s_min:g} to {limits.duration_s_max:g} s"
    told = f"{_kinds(limits.mime_types)}; {length}; up to {megabytes(limits.size_bytes_max)}"
    return told if limits.required else f"{told}; optional"


def from_price(entry: ModelEntry) -> str:
    """The least that a model costs: `from $0.05 a second`."""
    per = "a second" if entry.price.unit == "second" else "a video"
    return f"from {dollars(min(entry.price.usd_micros.values()))} {per}"


def _kinds(mime_types: tuple[str, ...]) -> str:
    names = {"audio/mpeg": "MP3", "audio/mp4": "M4A"}
    return ", ".join(
        names.get(each, each.partition("/")[2].upper().replace("WEBP", "WebP"))
        for each in mime_types
    )


FILTERS: dict[str, Callable[..., str]] = {
    each.__name__: each
    for each in (
        *(operation, words, parameter, choice, author, seconds, span, left),
        *(iso, moment, day, short_day, segment, dollars),
        *(limits_of_image, limits_of_sound, from_price),
    )
}
"""By the names that templates call them by."""
