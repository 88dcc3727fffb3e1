"""One connection of a client, and what it may not do: keep us waiting.

The head of a request, the rest of a body that nobody wants, and the taking of a reply have a time
limit each. A body that a route reads is limited where it is read (`bodies`). Events' streams may
last, and are ended first when the server stops: their readers come back by themselves.
"""

import asyncio
from http import HTTPStatus
from typing import Any, Literal

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from starter.api.problems import Problem, reply_of
from starter.api.replies import is_endless

KEEP_ALIVE_S = 15
"""Between two requests: longer than a person's pause on a page, too short to hoard connections."""

HEAD_WITHIN_S = 20.0
"""From the connection, or the reply before it, to the end of a request's head."""

REST_WITHIN_S = 5.0
"""After the reply, for what is left of a body that nobody read."""

TAKEN_WITHIN_S = 60.0
"""For some 50 kB of a reply; who takes less of a video in a minute can't watch it."""

Due = Literal["head", "rest"]
"""What of a request is to come."""

WITHIN_S: dict[Due, float] = {"head": HEAD_WITHIN_S, "rest": REST_WITHIN_S}
_CLOSE = {"Connection": "close"}
_ANSWERABLE = (h11.IDLE, h11.SEND_RESPONSE)


class ClientConnection(H11Protocol):
    """HTTP/1.1 that waits for nobody, and writes no line for a request.

    Addresses hold tokens, whatever handlers uvicorn's loggers are given: what is logged of a
    request is what its route says itself, and a line without its address (`replies`).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed through
        super().__init__(*args, **kwargs)
        # Also None, before the first request, which its declaration leaves out.
        self.cycle: RequestResponseCycle | None  # pyright: ignore[reportIncompatibleVariableOverride]
        self.access_log = False
        self._app = self.app
        # Its own reply to one connection too many is no problem document.
        self._connections_max, self.limit_concurrency = self.limit_concurrency, None
        self._awaited: Due | None = None
        self._until: asyncio.TimerHandle | None = None
        self._taken_until: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Wait for a request from now on."""
        super().connection_made(transport)
        self._await_client()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._awaited = None
        for timer in (self._until, self._taken_until):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what the client sent, and see what of it is still to come."""
        too_many = self._connections_max is not None and self._connections_max < len(
            self.connections
        )
        self.app = _full if too_many else self._app
        super().data_received(data)
        self._await_client()

    def on_response_complete(self) -> None:
        """Wait for the next request, or for what is left of this one."""
        super().on_response_complete()
        self._await_client()

    def pause_writing(self) -> None:
        """The client takes its reply more slowly than we send it: it has a while to go on."""
        super().pause_writing()
        if self._taken_until is None:
            self._taken_until = self.loop.call_later(TAKEN_WITHIN_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It goes on."""
        super().resume_writing()
        if self._taken_until is not None:
            self._taken_until.cancel()
            self._taken_until = None

    def shutdown(self) -> None:
        """The server stops: requests under way are answered, streams of events end at once."""
        super().shutdown()
        if self.cycle is not None and is_endless(self.cycle.scope.get("state", {})):
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """What was sent is no request."""
        del msg
        self._end_with(HTTPStatus.BAD_REQUEST, "What was sent is not a request of HTTP/1.1.")

    def _await_client(self) -> None:
        """Have a time limit where the client is to send something, and nobody else waits for it."""
        awaited = self._due()
        if awaited == self._awaited:
            return
        self._awaited = awaited
        if self._until is not None:
            self._until.cancel()
            self._until = None
        if awaited is not None:
            self._until = self.loop.call_later(WITHIN_S[awaited], self._give_up)

    def _due(self) -> Due | None:
        """What the client is to send soon; None where the next step is ours, or a route waits."""
        if self.transport.is_closing():
            return None
        if self.conn.their_state is h11.IDLE:
            return "head"
        is_answered = self.cycle is None or self.cycle.response_complete
        return "rest" if self.conn.their_state is h11.SEND_BODY and is_answered else None

    def _give_up(self) -> None:
        half_sent, _ = self.conn.trailing_data
        if self._awaited == "head" and half_sent:
            detail = f"The request's head did not come within {HEAD_WITHIN_S:g} s."
            self._end_with(HTTPStatus.REQUEST_TIMEOUT, detail)
        else:
            self.transport.close()

    def _end_with(self, status: HTTPStatus, detail: str) -> None:
        """Answer what never became a request, and close the connection."""
        if self.conn.our_state in _ANSWERABLE:
            reply = reply_of(Problem(status, detail, headers=_CLOSE))
            headers = [*self.server_state.default_headers, *reply.raw_headers]
            reason = status.phrase.encode()
            head = h11.Response(status_code=status.value, headers=headers, reason=reason)
            for event in (head, h11.Data(data=bytes(reply.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None:
            # Its route may still be about to answer.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()


async def _full(scope: Scope, receive: Receive, send: Send) -> None:
    """The answer to one connection too many."""
    detail = "Too many connections are open. Try again."
    headers = _CLOSE | {"Retry-After": "1"}
    await reply_of(Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=headers))(
        scope, receive, send
    )
