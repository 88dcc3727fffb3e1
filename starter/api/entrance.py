"""Nobody comes further than this without a key: below `/v1` it is asked for before all else.

FastAPI would read a body before it asks who sends it, and answers for itself where a path is
unknown, or where the OpenAPI document is. Here a stranger is told 401 for all of them, and nothing
that they sent is read. Pages are not below `/v1`: they send strangers to the sign-in.
"""

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from activities.provider.webhooks import PATH as WEBHOOKS
from starter.api.callers import caller_of
from starter.api.parts import Parts
from starter.api.rates import Allowance

GUARDED = "/v1/"
OPEN = (f"{WEBHOOKS}/", "/v1/media/")
"""What proves itself otherwise: by the provider's signature, or by ours in a link's address."""


def is_guarded(path: str) -> bool:
    """Whether only callers reach this path."""
    return path.startswith(GUARDED) and not path.startswith(OPEN)


class Entrance:
    """Finds the caller of each guarded request, and tells them what they may do next."""

    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self._app = app
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, as ASGI wants it."""
        if scope["type"] != "http" or not is_guarded(scope["path"]):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        caller = await caller_of(request, self._parts)
        allowance = request.state.allowance
        assert isinstance(allowance, Allowance), "whoever finds a caller sets it"

        async def with_allowance(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *allowance.headers()]}
            await send(message)

        with self._parts.rates.under_way(caller.key_id):
            await self._app(scope, receive, with_allowance)
