"""The secret that the provider signs webhooks with, read from the provider and kept in memory.

It changes when somebody rotates it there, which nobody tells us: a message that the known secret
did not sign has it read again, at most once a minute, so that forgers don't make us ask.
"""

import asyncio
import time
from collections.abc import Callable

from pydantic import SecretStr

from activities.provider.errors import ProviderError
from activities.provider.wavespeed import WaveSpeed
from activities.provider.webhooks import Stamp, is_signed

READ_AGAIN_S = 60.0
"""Between two reads because of a signature that doesn't match."""

RETRY_S = 5.0
"""Between two reads while the provider gives none."""


class SecretUnknown(Exception):
    """The provider did not give its secret: nothing can be verified now, a later try may be."""


class WebhookSecret:
    """The secret of one provider account. `clock` counts seconds."""

    def __init__(self, client: WaveSpeed, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._secret: SecretStr | None = None
        self._not_before = clock()
        self._reading = asyncio.Lock()

    async def signed(self, stamp: Stamp, body: bytes) -> bool:
        """Whether the provider signed this message.

        Raises:
            SecretUnknown: the provider could not be asked for its secret.
        """
        known = self._secret or await self._read(None)
        if is_signed(known, stamp, body):
            return True
        renewed = await self._read(known)
        return renewed is not known and is_signed(renewed, stamp, body)

    async def _read(self, known: SecretStr | None) -> SecretStr:
        """A secret that is newer than `known`, or `known` itself where it is too early to ask."""
        async with self._reading:
            if self._secret is not None and self._secret is not known:
                # Read by another request, while this one waited.
                return self._secret
            if self._clock() < self._not_before:
                return _given(known)
            try:
                self._secret = await self._client.webhook_secret()
            except ProviderError as error:
                self._not_before = self._clock() + RETRY_S
                raise SecretUnknown(str(error)) from error
            self._not_before = self._clock() + READ_AGAIN_S
            return self._secret


def _given(known: SecretStr | None) -> SecretStr:
    if known is None:
        raise SecretUnknown("The provider did not give its secret a moment ago.")
    return known
