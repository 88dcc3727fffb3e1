"""Who asks: the key of a product, and the user it acts for. Every route but health takes one.

    @router.get("/v1/usage")
    async def usage(caller: CallerOf, parts: PartsOf) -> UsageReport: ...

`caller.user_id` is passed to every read of the client, and `caller.sources` narrows it: what is
another user's or another product's is 404, as if it were not there.
"""

from typing import NamedTuple

from workflows.contracts.requests import Source


class Caller(NamedTuple):
    """One request's."""

    key_id: str
    user_id: str
    sources: tuple[Source, ...]
    """The first is the default of what it starts."""
    by_page: bool = False
    """Signed in with a browser, not by a header."""
