"""Whatever is sent to the webhook route: it is never our fault, and wakes nobody unless signed."""

import json
import os
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.starter.api.conftest import Api

# 60 in the suite, 2,000 as evidence.
EXAMPLES = 2_000 if os.environ.get("STILLMOTION_EVIDENCE") == "1" else 60

MANY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3)
    ),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    ["id", "status", "model", "input", "outputs", "urls", "created_at", "timings", "error", "code"]
)
IDS = st.text("abcXYZ019_-", min_size=4, max_size=40)
SOUND = st.fixed_dictionaries({}, optional={"id": IDS, "status": st.just("completed")})


def a_prediction(odd: dict[str, Any], sound: dict[str, str]) -> dict[str, Any]:
    return {**odd, **sound}


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def header_value(value: bytes) -> bytes:
    """Without what no client would send."""
    return bytes(byte for byte in value if 32 < byte < 127 or byte > 160)


PREDICTIONS = st.builds(a_prediction, st.dictionaries(FIELDS, JSON, max_size=6), SOUND)
BODIES = st.binary(max_size=200) | (JSON | PREDICTIONS).map(encoded)
VALUES = st.binary(max_size=100).map(header_value)
NAMES = st.sampled_from([b"webhook-id", b"webhook-timestamp", b"webhook-signature", b"x-odd"])
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=5)
SEGMENTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@pytest.fixture(scope="session")
async def ended(api: Api) -> str:
    """A generation that has ended: what is taken for it has no effect."""
    generation_id = await api.accepted()
    await api.stack.database.execute(
        "UPDATE generations SET stage = 'failed' WHERE generation_id = $1", generation_id
    )
    return generation_id


@MANY
@given(name=SEGMENTS, tail=st.just("") | SEGMENTS, headers=HEADERS, body=BODIES)
async def test_what_nobody_signed_is_never_a_fault_of_ours_and_never_taken(
    api: Api, name: str, tail: str, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    address = api.address(name) + quote(tail, safe="/?#&=;")

    reply = await api.http.post(address, content=body, headers=headers)

    assert 400 <= reply.status_code < 500
    assert reply.headers["content-type"] == "application/problem+json"


@MANY
@given(body=BODIES)
async def test_whatever_the_provider_signs_is_taken_or_refused_as_no_prediction(
    api: Api, ended: str, body: bytes
) -> None:
    reply = await api.tell(ended, body)

    assert reply.status_code in {200, 422}
    if reply.status_code == 200:
        assert set(json.loads(body)) >= {"id", "status"}
