"""Tells a submitter that a job ended: signed, tried three times, possibly more than once.

The signature is the provider's own: `v3,` and the hex HMAC-SHA256 of `id.timestamp.body`, keyed by
the secret's text after `whsec_` (not base64-decoded). Standard Webhooks libraries don't verify it.
"""

import asyncio
import hashlib
import hmac
import logging
import time

import httpx

from workers.sandbox.records import new_id

TRIES = 3
_BACKOFF = 4
_logger = logging.getLogger(__name__)


def sign(secret: str, webhook_id: str, timestamp: int, body: bytes) -> str:
    """The value of the `webhook-signature` header."""
    key = secret.removeprefix("whsec_").encode()
    message = f"{webhook_id}.{timestamp}.".encode() + body
    return "v3," + hmac.new(key, message, hashlib.sha256).hexdigest()


class WebhookSender:
    """Delivers webhooks with one secret. `retry_s` is the wait before the second try."""

    def __init__(self, client: httpx.AsyncClient, secret: str, retry_s: float) -> None:
        self._client = client
        self._secret = secret
        self._retry_s = retry_s

    async def send(self, url: str, body: bytes, *, forged: bool = False) -> bool:
        """Whether one of the tries was answered with 2xx."""
        webhook_id = new_id()
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(self._retry_s * _BACKOFF ** (attempt - 1))
            if await self._try(url, webhook_id, body, forged=forged):
                return True
        _logger.warning("a webhook was given up after %d tries", TRIES)
        return False

    async def _try(self, url: str, webhook_id: str, body: bytes, *, forged: bool) -> bool:
        timestamp = int(time.time())
        secret = "whsec_forged" if forged else self._secret
        headers = {
            "Content-Type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(secret, webhook_id, timestamp, body),
        }
        try:
            reply = await self._client.post(url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            _logger.info("a webhook could not be delivered: %s", type(error).__name__)
            return False
        return reply.is_success
