"""The provider's webhooks: the address that each submission asks for, and who may call it.

A webhook is a hint that a job ended, never the truth: its state is read from the provider. It has
two locks. The address carries a token, the generation's keyed hash: it is stored nowhere, and who
doesn't have the deployment's key can't make one. The message carries a signature of the provider's
own scheme (docs: verify-webhooks): `v3,` and the hex HMAC-SHA256 of `id.timestamp.body`, keyed by
the secret's text after `whsec_` as it stands. Libraries of Standard Webhooks don't verify it: they
decode the secret from base64 and expect `v1,` and base64.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from urllib.parse import quote

from pydantic import SecretStr

PATH = "/v1/provider/webhooks"
"""Below it: the generation's id, percent-encoded as one segment, and its token."""

FRESH_S = 300
"""How far a message's time may be from ours, either way (docs: verify-webhooks)."""

TOKEN_CHARACTERS = 32
"""128 bits in hex."""

# No user id holds a NUL, so that no user's keyed hash, which lists show, is ever a token.
_CONTEXT = b"provider webhook\x00"
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"v3,([0-9a-f]{64})")


class NotSigned(Exception):
    """A signature header is missing, there twice, or malformed. The message says which one."""


class Stamp(NamedTuple):
    """What a signed message says beside its body, well formed and not yet believed."""

    webhook_id: str
    """The same for each try to deliver one message."""
    timestamp: str
    """Unix seconds, as they stand in the signed text."""
    signature: str
    """64 hex digits."""


def token_of(hash_key: str, generation_id: str) -> str:
    """The token of a generation's webhook address, 32 hex digits."""
    message = _CONTEXT + generation_id.encode()
    return hmac.new(hash_key.encode(), message, hashlib.sha256).hexdigest()[:TOKEN_CHARACTERS]


def is_token(text: str, hash_key: str, generation_id: str) -> bool:
    """Whether `text` is this generation's token; takes the same time for each wrong one."""
    return hmac.compare_digest(text.encode(), token_of(hash_key, generation_id).encode())


def webhook_url(public_url: str, hash_key: str, generation_id: str) -> str:
    """Where the provider tells of one generation's job: a secret, for it holds the token.

    A generation whose id, a wire caller's own, is just `.` or `..` gets no webhooks: servers
    resolve such a segment before they route. It is polled, as every other one.
    """
    segment = quote(generation_id, safe="")
    return f"{public_url}{PATH}/{segment}/{token_of(hash_key, generation_id)}"


def stamp_of(headers: Iterable[tuple[bytes, bytes]]) -> Stamp:
    """The stamp in a request's headers, whose names are in lower case.

    Raises:
        NotSigned: one of the three is missing, there twice, or malformed.
    """
    given = list(headers)
    return Stamp(
        _header(given, "webhook-id", _ID),
        _header(given, "webhook-timestamp", _TIMESTAMP),
        _header(given, "webhook-signature", _SIGNATURE),
    )


def is_signed(secret: SecretStr, stamp: Stamp, body: bytes) -> bool:
    """Whether the holder of `secret`, `whsec_…`, signed this id, time and body."""
    key = secret.get_secret_value().removeprefix("whsec_").encode()
    message = f"{stamp.webhook_id}.{stamp.timestamp}.".encode() + body
    made = hmac.new(key, message, hashlib.sha256).hexdigest()
    return hmac.compare_digest(made, stamp.signature)


def is_fresh(stamp: Stamp, now: datetime) -> bool:
    """Whether the message was signed within `FRESH_S` of `now`, which is aware."""
    return abs(now.timestamp() - int(stamp.timestamp)) <= FRESH_S


def _header(headers: list[tuple[bytes, bytes]], name: str, form: re.Pattern[str]) -> str:
    """The one header of this name: the part that its form's group takes, else the whole."""
    values = [value for key, value in headers if key == name.encode()]
    if len(values) != 1:
        raise NotSigned(f"{name}: {'missing' if not values else 'there more than once'}.")
    found = form.fullmatch(values[0].decode("latin-1"))
    if found is None:
        raise NotSigned(f"{name}: malformed.")
    return found[form.groups]
