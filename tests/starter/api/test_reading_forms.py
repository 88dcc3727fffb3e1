"""Whatever stands in a form and wherever it is cut, its parts come out as they went in."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from fastapi import Request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect
from starlette.types import Message

from starter.api.forms import Allowed, read_form
from starter.api.problems import Problem
from workflows.contracts.failures import RequestRefused

BOUNDARY = b"b-1"
ALLOWED = {
    "request": Allowed(1000, ("application/json", "text/"), is_file=False),
    "image": Allowed(1000, ("image/",)),
    "audio": Allowed(1000, ("audio/",)),
}
TYPES = {"request": b"application/json", "image": b"image/png", "audio": b"audio/wav"}

# What a boundary is made of, so that halves of one stand in files as well.
HALVES = [b"\r\n--b-", b"\r\n--", b"\r\n", b"\r", b"\n", b"-", b"--b-", b"b", b"\x00"]
CONTENT = st.lists(st.sampled_from(HALVES) | st.binary(max_size=20), max_size=20).map(b"".join)
WHOLE = CONTENT.filter(lambda content: b"\r\n--b-1" not in b"\r\n" + content)
PARTS = st.dictionaries(st.sampled_from(sorted(ALLOWED)), WHOLE, min_size=1)
CUTS = st.lists(st.integers(1, 60), min_size=1, max_size=30)
MANY = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def written(parts: dict[str, bytes]) -> bytes:
    """The form as a client writes it."""
    whole = b""
    for name, content in parts.items():
        whole += b"--" + BOUNDARY + b"\r\nContent-Disposition: form-data; name=" + name.encode()
        whole += b"\r\nContent-Type: " + TYPES[name] + b"\r\n\r\n" + content + b"\r\n"
    return whole + b"--" + BOUNDARY + b"--\r\n"


def cut(whole: bytes, lengths: Sequence[int]) -> list[bytes]:
    """The same in pieces of these lengths, over and over."""
    pieces: list[bytes] = []
    while whole:
        length = lengths[len(pieces) % len(lengths)]
        pieces.append(whole[:length])
        whole = whole[length:]
    return pieces


def a_request(pieces: Sequence[bytes], *, is_whole: bool = True) -> Request:
    """A request whose body comes in these pieces; of one that isn't whole the sender goes."""
    messages: list[Message] = [
        {"type": "http.request", "body": piece, "more_body": True} for piece in pieces
    ]
    end = {"type": "http.request", "body": b""} if is_whole else {"type": "http.disconnect"}

    async def receive() -> Message:
        return messages.pop(0) if messages else end

    typed = b"multipart/form-data; boundary=" + BOUNDARY
    return Request({"type": "http", "headers": [(b"content-type", typed)]}, receive)


@MANY
@given(parts=PARTS, lengths=CUTS)
async def test_parts_come_out_as_they_went_in(parts: dict[str, bytes], lengths: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        form = await read_form(a_request(cut(written(parts), lengths)), Path(folder), ALLOWED)

        files = {name: path.read_bytes() for name, path in form.files.items()}
    assert {**form.texts, **files} == parts
    assert set(form.texts) <= {"request"}


@MANY
@given(parts=PARTS, lengths=CUTS, share=st.floats(0, 1, exclude_max=True))
async def test_a_form_that_lacks_its_end_is_never_taken(
    parts: dict[str, bytes], lengths: list[int], share: float
) -> None:
    # Without its last boundary's second dash, whatever else is there.
    whole = written(parts)[: -len(b"-\r\n")]
    pieces = cut(whole[: int(len(whole) * share)], lengths)

    with tempfile.TemporaryDirectory() as folder, pytest.raises(RequestRefused):
        await read_form(a_request(pieces), Path(folder), ALLOWED)
    with tempfile.TemporaryDirectory() as folder, pytest.raises(ClientDisconnect):
        await read_form(a_request(pieces, is_whole=False), Path(folder), ALLOWED)


@MANY
@given(body=st.binary(max_size=300), lengths=CUTS)
async def test_what_is_no_form_is_refused(body: bytes, lengths: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.raises((RequestRefused, Problem)):
        await read_form(a_request(cut(body, lengths)), Path(folder), ALLOWED)


async def test_a_part_is_refused_at_the_first_byte_over_and_may_have_all_before(
    tmp_path: Path,
) -> None:
    just, over = bytes(1000), bytes(1001)

    form = await read_form(a_request([written({"image": just})]), tmp_path, ALLOWED)
    with pytest.raises(Problem) as told:
        await read_form(a_request([written({"audio": over})]), tmp_path, ALLOWED)

    assert form.files["image"].stat().st_size == len(just)
    assert (told.value.status, told.value.detail) == (
        413,
        "audio: too large; allowed: at most 1,000 bytes.",
    )


async def test_what_stands_around_the_parts_has_an_end(tmp_path: Path) -> None:
    pieces = [b"\r\n" * 1000] * 1000

    with pytest.raises(RequestRefused, match="around its parts"):
        await read_form(a_request(pieces), tmp_path, ALLOWED)
