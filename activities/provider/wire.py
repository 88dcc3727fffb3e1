"""Requests out, replies in: everything between the client's methods and the socket.

Requests go straight to httpx's transport: `httpx.AsyncClient` would log every URL at INFO, and ours
are signed or carry tokens; nor do we want its redirects, cookies or decoding. A reply is read
whole, capped and within a deadline, then judged once: its data, or a leaf of `ProviderError`.
"""

import asyncio
import json
from collections.abc import AsyncIterable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import BinaryIO

import httpx
from pydantic import JsonValue

from activities.provider import errors
from activities.provider.models import Envelope
from activities.provider.settings import PORT_MAX, ProviderSettings

REPLY_SIZE_BYTES_MAX = 4 * 1024 * 1024
"""Our largest reply, a listing of 100 rows, is some 300 kB."""

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
        try:
            return Envelope.from_wire(self.body)
        except ValueError:
            return None


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

    def __init__(self, settings: ProviderSettings, key: str) -> None:
        self._settings = settings
        self._key = key
        tls = httpx.create_ssl_context(trust_env=False)
        self._connections = httpx.AsyncHTTPTransport(verify=tls, trust_env=False)
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
            extensions={"timeout": self._timeout(reply_within_s)},
        )

    def transfer(
        self, method: str, url: str, headers: Mapping[str, str], content: AsyncIterable[bytes]
    ) -> httpx.Request:
        """A request that streams a file, to any host and with just these headers.

        Raises:
            MalformedReply: the URL or a header, which a reply gave us, can't be used; or the file
                would go in the clear, though the provider itself is asked over TLS.
        """
        timeout = self._timeout(self._settings.upload_timeout_s)
        try:
            request = httpx.Request(
                method, url, headers=headers, content=content, extensions={"timeout": timeout}
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
            extensions={"timeout": self._timeout(self._settings.upload_timeout_s)},
        )

    def _headers(self) -> dict[str, str]:
        """The headers that the API is sent, and no one else."""
        return {"Authorization": f"Bearer {self._key}", "User-Agent": "stillmotion"}

    def _timeout(self, inactivity_s: float) -> dict[str, float | None]:
        """The limits that httpcore keeps: on connecting, and on each read or write."""
        return httpx.Timeout(inactivity_s, connect=self._settings.connect_timeout_s).as_dict()

    async def call(
        self, method: str, path: str, body: Mapping[str, JsonValue] | None = None
    ) -> JsonValue:
        """One call that costs nothing and may be repeated; returns the envelope's data."""
        request = self.request(method, path, body=body)
        return self.succeeded(await self.send(request, self._settings.read_timeout_s))

    async def send(self, request: httpx.Request, deadline_s: float | None = None) -> Reply:
        """Send a request that may be repeated, and read its reply, whatever it says.

        Raises:
            NotSent: no connection came about.
            Unavailable: the reply did not come, not whole or not within `deadline_s` of connecting.
            MalformedReply: it is too big.
        """
        try:
            return await self._exchange(self._connections, request, deadline_s)
        except _UNREACHED as error:
            raise errors.NotSent(provider_message=self._words(error)) from None
        except (httpx.TransportError, TimeoutError) as error:
            raise errors.Unavailable(provider_message=self._words(error)) from None
        except OversizedReplyError:
            raise errors.MalformedReply("The provider's reply is too big.") from None

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


def _encoded(body: Mapping[str, JsonValue]) -> bytes:
    """The body as JSON without its None entries: the provider refuses nulls."""
    given = {name: value for name, value in body.items() if value is not None}
    try:
        return json.dumps(given, allow_nan=False).encode()
    except (ValueError, TypeError) as error:
        raise errors.InputRefused("The inputs can't be written as JSON.") from error
