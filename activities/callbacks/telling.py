"""One message to one receiver: a signed POST, where only the status of the answer counts.

    2xx             taken
    410             the receiver has gone for good: refused
    anything else   another try may go better; a redirect is not followed

What is said of it names the host and the status, never the URL, the body or the answer's words.
"""

import asyncio
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from activities.callbacks.rules import no_secret
from activities.callbacks.sealing import SecretUnreadable
from activities.callbacks.settings import SecretKeyUnusable
from activities.callbacks.signing import Signers, signed
from activities.media.errors import FetchFailed, UrlRefused
from activities.media.exchanges import Headers, bounded, connections, exchange
from activities.media.fetch_policies import FetchPolicy
from activities.media.locations import parse_location
from workflows.contracts.callbacks import CallbackMessage, message_id_for

DELIVERIES_AT_ONCE_MAX = 100
"""Messages under way in a process. Each has a connection and its TLS, and a worker waits for a
thousand receivers at once; a hundred that hang for 15 s let six others a second pass, and stay far
below the 1,024 files that a process may usually open."""

_GONE = 410
_JSON = (b"Content-Type", b"application/json")


class Answer(NamedTuple):
    """What came of a message."""

    state: Literal["taken", "failed", "refused"]
    evidence: str = ""


class Teller:
    """Tells those whom the policy allows, at most `at_once_max` at a time; the others wait."""

    def __init__(
        self, signers: Signers, policy: FetchPolicy, *, at_once_max: int = DELIVERIES_AT_ONCE_MAX
    ) -> None:
        self._signers = signers
        self._policy = policy
        self._places = asyncio.Semaphore(at_once_max)

    async def tell(self, url: str, message: CallbackMessage) -> Answer:
        """Send a message once. Raises nothing that the network or the receiver may do."""
        # Signed when its turn has come: receivers refuse a signature that is minutes old.
        async with self._places:
            return await self._tell(url, message)

    async def _tell(self, url: str, message: CallbackMessage) -> Answer:
        told = message.data
        try:
            signers = await self._signers.of(told.source)
        except (SecretKeyUnusable, SecretUnreadable) as error:
            return Answer("failed", f"{error}")
        if not signers:
            return Answer("refused", no_secret(told.source.value))
        body = message.model_dump_json(exclude_none=True)
        message_id = message_id_for(told.generation_id, told.seq)
        headers = signed(signers, message_id, datetime.now(UTC), body)
        try:
            return await self._post(url, headers, body.encode())
        except UrlRefused as error:
            return Answer("refused", f"{error}")
        except FetchFailed as error:
            return Answer("failed", f"{error}")

    async def _post(self, url: str, headers: Headers, body: bytes) -> Answer:
        location = parse_location(url)
        self._policy.check(location)
        async with (
            bounded(location, self._policy),
            connections(self._policy) as pool,
            exchange(
                pool, location, self._policy, headers=[_JSON, *headers], content=body
            ) as answer,
        ):
            # The answer's body is not read: leaving closes the connection.
            status = answer.status
        if 200 <= status < 300:  # noqa: PLR2004 - HTTP's own numbers
            return Answer("taken")
        evidence = f"{location.host} answered with HTTP {status}"
        if 300 <= status < 400:  # noqa: PLR2004
            return Answer("failed", f"{evidence}; redirects are not followed")
        return Answer("refused" if status == _GONE else "failed", evidence)
