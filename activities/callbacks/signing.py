"""The signing secret of each source: made once, told once, and what messages are signed with.

After a rotation the secret before goes on signing beside the new one for a day, so receivers have
time to change over. Only whoever has the deployment's key can sign or learn a secret.
"""

import base64
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

from standardwebhooks import Webhook

from activities.callbacks.repository import SQL
from activities.callbacks.sealing import SecretUnreadable, seal, unseal
from activities.callbacks.settings import CallbackSettings
from activities.database.pool import Pool
from activities.media.exchanges import Headers
from workflows.contracts.requests import Source

SECRET_SIZE_BYTES = 32
"""Standard Webhooks asks for 24 to 64 random bytes."""

OVERLAP = timedelta(hours=24)
"""How long the secret before a rotation goes on signing."""


class SecretExists(Exception):
    """The source has a secret already; only a rotation replaces it."""

    def __init__(self, source: Source, changed_at: datetime) -> None:
        super().__init__(
            f"{source.value} has a secret since {changed_at:%Y-%m-%d %H:%M} UTC;"
            f" --rotate makes a new one beside it."
        )


class NewSecret(NamedTuple):
    """A secret, to be shown once."""

    text: str
    """`whsec_…`"""
    previous_until: datetime | None
    """Until when the one before goes on signing; None where there was none."""


class Signers:
    """The secrets of all sources."""

    def __init__(self, pool: Pool, settings: CallbackSettings) -> None:
        self._pool = pool
        self._settings = settings

    async def make(self, source: Source, *, rotate: bool = False) -> NewSecret:
        """A new secret for a source; needs the owner of the schema.

        Raises:
            SecretExists: it has one, and `rotate` was not asked for.
            SecretKeyUnusable: the deployment's key is not there.
        """
        secret = os.urandom(SECRET_SIZE_BYTES)
        sealed = seal(self._settings.key(), secret, source.value)
        row = await self._pool.fetchrow(
            SQL["rotate_secret" if rotate else "add_secret"],
            source.value,
            sealed,
            *([OVERLAP] if rotate else []),
        )
        if row is None:
            changed_at = await self._pool.fetchval(SQL["has_secret"], source.value)
            raise SecretExists(source, changed_at)
        text = "whsec_" + base64.b64encode(secret).decode("ascii")
        return NewSecret(text, row["previous_expires_at"])

    async def of(self, source: Source) -> Sequence[Webhook]:
        """What signs for a source now, the newest first; empty where it has no secret.

        Raises:
            SecretKeyUnusable: the deployment's key is not there.
            SecretUnreadable: another key encrypted the newest secret.
        """
        row = await self._pool.fetchrow(SQL["secrets"], source.value)
        if row is None:
            return ()
        key = self._settings.key()
        signers = [Webhook(unseal(key, row["secret"], source.value))]
        if row["previous"] is not None:
            # A rotation is also the way out of a lost key: then the one before is lost too.
            with suppress(SecretUnreadable):
                signers.append(Webhook(unseal(key, row["previous"], source.value)))
        return signers


def signed(signers: Sequence[Webhook], message_id: str, at: datetime, body: str) -> Headers:
    """The Standard Webhooks headers of a message that is sent at `at`."""
    signatures = " ".join(signer.sign(message_id, at, body) for signer in signers)
    return [
        (b"webhook-id", message_id.encode()),
        (b"webhook-timestamp", str(int(at.timestamp())).encode()),
        (b"webhook-signature", signatures.encode()),
    ]
