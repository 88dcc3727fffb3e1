"""Requests out, replies in: everything between the client's methods and the socket.

Requests go straight to httpx's transport: `httpx.AsyncClient` would log every URL at INFO, and ours
are signed or carry tokens; nor do we want its redirects, cookies or decoding. A reply is read
whole, capped and within a deadline, then judged once: its data, or a leaf of `ProviderError`.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus
from typing import BinaryIO, NamedTuple

import httpx
from pydantic import JsonValue

from activities.provider import errors
from activities.provider.models import Envelope
from activities.provider.settings import PORT_MAX, ProviderSettings
from activities.tracing.spans import Notes, call_span

REPLY_SIZE_BYTES_MAX = 4 * 1024 * 1024
"""Our largest reply, a listing of 100 rows, is some 300 kB."""

_CALLS_AT_ONCE = 64
"""Fewer than the transport has connections. Thousands of polls that come at once, after a stall,
wait here in turn: in the transport's own queue they would run into its limit, and each would look
through all of them."""

_TURN_WITHIN_S = 30.0
"""While the provider hangs, a turn takes long: who waits in vain hears that nothing was sent."""

_UNREACHED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class OversizedReplyError(Exception):
    """The reply was cut off at `REPLY_SIZE_BYTES_MAX`."""


class SendRefusedError(Exception):
    """`before_send` raised, so the request was not written."""


@dataclass(frozen=True)
class Reply:
    """A whole HTTP reply."""

    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)

    def envelope(self) -> Envelope | None:
        """What the body says; None when it is not the contract's JSON."""
        return self._envelope

    @cached_property
    def _envelope(self) -> Envelope | None:
        try:
            return Envelope.from_wire(self.body)
        except ValueError:
            return None


class Route(NamedTuple):
    """What a request is for, in few words: for metrics and traces, which take no ids."""

    operation: str
    template: str
    """The path with its parameters' names, such as `/predictions/{id}/result`."""
    is_enveloped: bool = True
    """Whether the reply is the API's, which says its code once more in the body."""


class Call(NamedTuple):
    """One request and what became of it."""

    operation: str
    answer: str
    """`ok`, `4xx`, `429`, `5xx`, `other`, `malformed`; `unreached` where no connection came about,
    `unanswered` where no whole reply came, `cancelled` where we gave it up ourselves."""
    seconds: float


def untold(_call: Call) -> None:
    """Nobody counts."""


class Sending:
    """Follows one request into its connection, to know whether any of it was written.

    httpcore reports its steps to the `trace` extension and writes the request's first byte just
    after `http11.send_request_headers.started`; an exception raised there closes the connection
    unused.
    """

    def __init__(self, before_send: Callable[[], None] | None) -> None:
        self._before_send = before_send
        self.begun = False
        self.refusal: Exception | None = None

    async def trace(self, event: str, _info: Mapping[str, object]) -> None:
        """The callback of httpcore."""
        if event != "http11.send_request_headers.started":
            return
        assert not self.begun, "one request, one write"
        if self._before_send is not None:
            try:
                self._before_send()
            except Exception as error:
                self.refusal = error
                raise SendRefusedError from error
        self.begun = True

    def proves_unsent(self, error: Exception) -> bool:
        """Whether nothing was written: both the trace and the error's kind must say so."""
        return not self.begun and isinstance(error, (SendRefusedError, *_UNREACHED))


class Wire:
    """The connections to one provider with one key: no retries, no redirects, no environment."""

    def __init__(
        self, settings: ProviderSettings, key: str, *, tell: Callable[[Call], None] = untold
    ) -> None:
        self._settings = settings
        self._key = key
        self._tell = tell
        tls = httpx.create_ssl_context(trust_env=False)
        self._connections = httpx.AsyncHTTPTransport(verify=tls, trust_env=False)
        self._turns = asyncio.Semaphore(_CALLS_AT_ONCE)
        # A kept connection may be closed by the other side just as we write: each paid POST opens
        # its own, so that this can't make its outcome unknown.
        self._fresh_connections = httpx.AsyncHTTPTransport(
            verify=tls,
            trust_env=False,
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=0),
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connections.aclose()
        await self._fresh_connections.aclose()

    def request(
        self,
        method: str,
        path: str,
        *,
        route: Route,
        body: Mapping[str, JsonValue] | None = None,
        query: Mapping[str, str] | None = None,
        reply_within_s: float | None = None,
    ) -> httpx.Request:
        """A request to the provider's API, with the key; what is None in the body is left out.

        Raises:
            InputRefused: the body can't be written as JSON.
        """
        reply_within_s = reply_within_s or self._settings.read_timeout_s
        headers = self._headers()
        content = b""
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = _encoded(body)
        return httpx.Request(
            method,
            httpx.URL(f"{self._settings.base_url}/{path}", params=query or None),
            headers=headers,
            content=content,
            extensions={"timeout": self._timeout(reply_within_s), "route": route},
        )

    def transfer(
        self, method: str, url: str, headers: Mapping[str, str], content: AsyncIterable[bytes]
    ) -> httpx.Request:
        """A request that streams a file, to any host and with just these headers.

        Raises:
            MalformedReply: the URL or a header, which a reply gave us, can't be used; or the file
                would go in the clear, though the provider itself is asked over TLS.
        """
        extensions = {
            "timeout": self._timeout(self._settings.upload_timeout_s),
            "route": Route("upload", "/{storage}", is_enveloped=False),
        }
        try:
            request = httpx.Request(
                method, url, headers=headers, content=content, extensions=extensions
            )
        except (httpx.InvalidURL, ValueError):
            raise errors.MalformedReply from None
        in_the_clear = request.url.scheme != "https" and self._settings.base_url[:6] == "https:"
        if (request.url.port or 0) > PORT_MAX or in_the_clear:
            raise errors.MalformedReply
        return request

    def form(self, path: str, field_name: str, file: tuple[str, BinaryIO, str]) -> httpx.Request:
        """A request that streams a file to the API as the one field of a form."""
        return httpx.Request(
            "POST",
            f"{self._settings.base_url}/{path}",
            headers=self._headers(),
            files={field_name: file},
            extensions={
                "timeout": self._timeout(self._settings.upload_timeout_s),
                "route": Route("upload", f"/{path}"),
            },
        )

    def _headers(self) -> dict[str, str]:
        """The headers that the API is sent, and no one else."""
        return {"Authorization": f"Bearer {self._key}", "User-Agent": "stillmotion"}

    def _timeout(self, inactivity_s: float) -> dict[str, float | None]:
        """The limits that httpcore keeps: on connecting, and on each read or write."""
        return httpx.Timeout(inactivity_s, connect=self._settings.connect_timeout_s).as_dict()

    async def call(
        self, method: str, path: str, route: Route, body: Mapping[str, JsonValue] | None = None
    ) -> JsonValue:
        """One call that costs nothing and may be repeated; returns the envelope's data."""
        request = self.request(method, path, route=route, body=body)
        return self.succeeded(await self.send(request, self._settings.read_timeout_s))

    async def send(self, request: httpx.Request, deadline_s: float | None = None) -> Reply:
        """Send a request that may be repeated, and read its reply, whatever it says.

        Raises:
            NotSent: no connection came about.
            Unavailable: the reply did not come, not whole or not within `deadline_s` of connecting.
            MalformedReply: it is too big.
        """
        try:
            async with self._turn():
                return await self._exchange(self._connections, request, deadline_s)
        except _UNREACHED as error:
            raise errors.NotSent(provider_message=self._words(error)) from None
        except (httpx.TransportError, TimeoutError) as error:
            raise errors.Unavailable(provider_message=self._words(error)) from None
        except OversizedReplyError:
            raise errors.MalformedReply("The provider's reply is too big.") from None

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None]:
        """One of the calls at once.

        Raises:
            NotSent: none came free in time.
        """
        try:
            async with asyncio.timeout(_TURN_WITHIN_S):
                await self._turns.acquire()
        except TimeoutError:
            raise errors.NotSent("Too many calls wait for the provider's answers.") from None
        try:
            yield
        finally:
            self._turns.release()

    async def send_once(
        self, request: httpx.Request, deadline_s: float, before_send: Callable[[], None] | None
    ) -> Reply:
        """Send a request that costs money, over a connection of its own.

        Raises:
            NotSent: nothing was written: no connection, or `before_send` raised (then the cause).
            SubmissionAmbiguous: something was written, and no whole reply came.
        """
        sending = Sending(before_send)
        request.extensions["trace"] = sending.trace
        try:
            return await self._exchange(self._fresh_connections, request, deadline_s)
        except Exception as error:  # noqa: BLE001 -- whatever broke, the paid request may be out
            if not sending.proves_unsent(error):
                raise errors.SubmissionAmbiguous(provider_message=self._words(error)) from None
            if sending.refusal is None:
                raise errors.NotSent(provider_message=self._words(error)) from None
        raise errors.NotSent("The submission was held back, nothing was sent.") from sending.refusal

    def succeeded(self, reply: Reply) -> JsonValue:
        """The reply's data; raises its failure, which any code but 200 is, even under HTTP 200."""
        envelope = reply.envelope()
        if httpx.codes.is_success(reply.status) and envelope and envelope.code == HTTPStatus.OK:
            return envelope.data
        raise self.failure(reply, envelope)

    def failure(self, reply: Reply, envelope: Envelope | None) -> errors.ProviderError:
        """The leaf for a reply that is no success."""
        code = envelope.detail_code if envelope else None
        leaf = errors.leaf_of(reply.status, code)
        words = envelope.message if envelope else reply.body.decode(errors="replace")
        return self.error(leaf, reply, code=code, provider_message=errors.scrub(words, self._key))

    def error(
        self,
        leaf: type[errors.ProviderError],
        reply: Reply,
        *,
        code: int | None = None,
        provider_message: str = "",
    ) -> errors.ProviderError:
        """An error with what the reply's head says."""
        return leaf(
            http_status=reply.status,
            code=code,
            retry_after_s=errors.parse_retry_after_s(
                reply.headers.get("retry-after"), datetime.now(UTC)
            ),
            provider_message=provider_message,
        )

    async def _exchange(
        self, transport: httpx.AsyncHTTPTransport, request: httpx.Request, deadline_s: float | None
    ) -> Reply:
        """The whole reply, counted and traced."""
        route: Route = request.extensions["route"]
        began, answer = time.perf_counter(), "unanswered"
        try:
            with call_span(
                f"{request.method} {route.template}",
                http_request_method=request.method,
                url_template=route.template,
                server_address=request.url.host,
                operation=route.operation,
            ) as notes:
                reply = await self._exchanged(transport, request, deadline_s)
                answer = _answer(reply, route)
                _note(notes, reply, answer)
                return reply
        except (SendRefusedError, *_UNREACHED):
            answer = "unreached"
            raise
        except OversizedReplyError:
            answer = "malformed"
            raise
        except asyncio.CancelledError:
            answer = "cancelled"
            raise
        finally:
            self._tell(Call(route.operation, answer, time.perf_counter() - began))

    async def _exchanged(
        self, transport: httpx.AsyncHTTPTransport, request: httpx.Request, deadline_s: float | None
    ) -> Reply:
        # Until the connection stands, httpcore applies its limit three times: waiting for a place
        # in the pool, TCP, TLS.
        connecting_s = 3 * self._settings.connect_timeout_s
        async with asyncio.timeout(None if deadline_s is None else connecting_s + deadline_s):
            response = await transport.handle_async_request(request)
            async with aclosing(response):
                body = bytearray()
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > REPLY_SIZE_BYTES_MAX:
                        raise OversizedReplyError
        return Reply(response.status_code, response.headers, bytes(body))

    def _words(self, error: Exception) -> str:
        return errors.scrub(f"{type(error).__name__}: {error}", self._key)


def _answer(reply: Reply, route: Route) -> str:
    """What kind of answer it is."""
    code = reply.status
    if route.is_enveloped and httpx.codes.is_success(code):
        envelope = reply.envelope()
        if envelope is None or envelope.code is None:
            return "malformed"
        code = envelope.code
    if httpx.codes.is_success(code):
        return "ok"
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        return str(code)
    return {4: "4xx", 5: "5xx"}.get(code // 100, "other")


def _note(notes: Notes, reply: Reply, answer: str) -> None:
    notes["http_response_status_code"] = reply.status
    if answer != "ok":
        notes["error_type"] = answer
    envelope = reply.envelope()
    if envelope is not None and envelope.prediction_id is not None:
        notes["prediction_id"] = envelope.prediction_id


def _encoded(body: Mapping[str, JsonValue]) -> bytes:
    """The body as JSON without its None entries: the provider refuses nulls."""
    given = {name: value for name, value in body.items() if value is not None}
    try:
        return json.dumps(given, allow_nan=False).encode()
    except (ValueError, TypeError) as error:
        raise errors.InputRefused("The inputs can't be written as JSON.") from error
