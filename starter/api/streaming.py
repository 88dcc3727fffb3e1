"""Replies in pieces: begun only when the first piece is there, and for no client that stalls.

What goes wrong before the first piece is answered by a problem document, as anywhere. What goes
wrong later can't be told any more: the reply breaks off, which its framing shows. A client that
takes a piece too slowly is dropped: what waits for it is one piece, never what comes after it.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from fastapi.responses import StreamingResponse
from starlette.types import Message, Send

_log = logging.getLogger(__name__)


class _Stalled(Exception):
    """The client takes nothing."""


class PatientStream(StreamingResponse):
    """A reply whose pieces come from `pieces`, which are closed with it, also if the client goes.

    Args:
        pieces: What is sent; an empty piece is not.
        piece_within_s: How long the client may take over one piece.
        status_code: Of the reply.
        headers: Of the reply.
        media_type: Of the reply.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[bytes],
        *,
        piece_within_s: float,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
    ) -> None:
        super().__init__(pieces, status_code, headers, media_type)
        self._pieces = pieces
        self._piece_within_s = piece_within_s

    async def stream_response(self, send: Send) -> None:
        """Send it, piece by piece. The framework cancels this when the client goes."""
        async with aclosing(self._pieces) as pieces:
            first = await anext(pieces, None)
            try:
                await self._send_all(send, first)
            except _Stalled:
                _log.info("a client took nothing for %g s: dropped", self._piece_within_s)
            except Exception as error:  # noqa: BLE001 - the reply has begun: nobody can be told
                _log.warning("a reply broke off: %s", type(error).__name__)

    async def _send_all(self, send: Send, first: bytes | None) -> None:
        start = {"type": "http.response.start", "status": self.status_code}
        await self._sent(send, {**start, "headers": self.raw_headers})
        piece = first
        while piece is not None:
            if piece:
                await self._sent(send, _body(piece, more=True))
            piece = await anext(self._pieces, None)
        await self._sent(send, _body(b"", more=False))

    async def _sent(self, send: Send, message: Message) -> None:
        try:
            async with asyncio.timeout(self._piece_within_s):
                await send(message)
        except TimeoutError:
            raise _Stalled from None


def _body(piece: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": piece, "more_body": more}
