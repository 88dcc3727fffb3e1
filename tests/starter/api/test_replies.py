"""What each reply bears: an id that the log has too, and what it forbids a browser."""

import logging
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse, StreamingResponse

from starter.api.logs import REQUEST_ID, with_request_id
from starter.api.problems import tell_problems
from starter.api.replies import Replies
from starter.api.serving import listener_at, served
from tests.starter.api.conftest import Api, a_caller

log = logging.getLogger(__name__)


class _App(FastAPI):
    def build_middleware_stack(self) -> Replies:
        return Replies(super().build_middleware_stack())


@pytest.fixture(scope="module")
async def origin() -> AsyncIterator[str]:
    app = _App()
    tell_problems(app)

    @app.get("/json/{token}")
    async def json(token: str) -> str:
        log.info("said by the route")
        return token[:1]

    @app.get("/page")
    async def page() -> HTMLResponse:
        policy = {"Content-Security-Policy": "default-src 'self'", "Cache-Control": "no-cache"}
        return HTMLResponse("<p>", headers=policy)

    @app.get("/file")
    async def file() -> Response:
        return Response(b"mp4", media_type="video/mp4", headers={"ETag": '"abc"'})

    @app.get("/fault")
    async def fault() -> None:
        raise AssertionError("secret words")

    @app.get("/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(iter([": begun\n\n"]), media_type="text/event-stream")

    with listener_at("127.0.0.1", 0) as listener:
        async with served(app, listener) as address:
            yield address


async def asked(origin: str, path: str) -> httpx.Response:
    async with a_caller() as http:
        return await http.get(origin + path)


@pytest.mark.parametrize("path", ["/json/x", "/page", "/file", "/fault", "/events", "/missing"])
async def test_every_reply_has_an_id_of_its_own_and_forbids_guessing_its_type(
    origin: str, path: str
) -> None:
    first, second = [(await asked(origin, path)).headers for _ in range(2)]

    assert re.fullmatch(r"req_[0-9a-f]{16}", first["x-request-id"])
    assert first["x-request-id"] != second["x-request-id"]
    assert first["x-content-type-options"] == "nosniff"
    assert first["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/json/x", "/fault", "/missing"])
async def test_data_is_kept_nowhere_and_is_no_page(origin: str, path: str) -> None:
    headers = (await asked(origin, path)).headers

    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


async def test_what_a_route_says_itself_stays(origin: str) -> None:
    headers = (await asked(origin, "/page")).headers

    assert headers.get_list("content-security-policy") == ["default-src 'self'"]
    assert headers.get_list("cache-control") == ["no-cache"]


async def test_a_file_with_its_etag_may_be_kept_by_its_reader(origin: str) -> None:
    headers = (await asked(origin, "/file")).headers

    assert headers["cache-control"] == "private, no-cache"
    # Browsers make a page around a video, with a style of their own.
    assert "content-security-policy" not in headers


async def test_the_log_has_a_line_of_each_request_and_no_address_or_words(
    origin: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.addFilter(with_request_id)
    try:
        with caplog.at_level(logging.INFO, logger="starter.api.replies"):
            log.setLevel(logging.INFO)
            reply = await asked(origin, "/json/t0k3n?and=more")
            missing = await asked(origin, "/m1ss1ng")
            fault = await asked(origin, "/fault")
    finally:
        caplog.handler.removeFilter(with_request_id)

    lines = [
        (record.__dict__["request_id"], record.getMessage())
        for record in caplog.records
        if record.name in {"starter.api.replies", __name__}
    ]
    ids = [each.headers["x-request-id"] for each in (reply, reply, missing, fault)]
    assert [request_id for request_id, _ in lines] == ids
    told = [re.sub(r"\d+ ms", "N ms", message) for _, message in lines]
    assert told == [
        "said by the route",
        "GET /json/{token} 200 in N ms by nobody",
        "GET - 404 in N ms by nobody",
        "GET /fault 500 in N ms by nobody",
    ]
    # A route of the whole API: its traceback may be told, what it was about not.
    assert "secret words" not in fault.text


def test_outside_of_requests_a_line_has_no_id() -> None:
    record = logging.makeLogRecord({})

    assert with_request_id(record)
    assert record.__dict__["request_id"] == REQUEST_ID.get() == "-"


async def test_probes_leave_no_line(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for path in ("/livez", "/readyz"):
            await api.http.get(api.origin + path)

    assert not [record for record in caplog.records if record.name == "starter.api.replies"]
