"""A key of the HTTP API, and its secret: made once, shown once, stored as a hash."""

import base64
import hashlib
import os
import re
import secrets

from pydantic import BaseModel, ConfigDict, Field

from workflows.contracts.requests import Source
from workflows.contracts.texts import Name

PREFIX = "sm_"
"""Scanners of leaked secrets go by it."""

REQUESTS_PER_MINUTE = 600
"""What a key may do unless its maker says otherwise."""
REQUESTS_PER_MINUTE_MAX = 1_000_000

KEEP_OLD_S = 24 * 60 * 60
"""How long the secret before a rotation stays good: a day for the next deployment."""
KEEP_OLD_S_MAX = 30 * 24 * 60 * 60

_RANDOM_BYTES = 32
_ID_BYTES = 16
_FORM = re.compile(r"sm_[A-Za-z0-9_-]{43}")


class Key(BaseModel):
    """A key as its holder's requests meet it."""

    model_config = ConfigDict(frozen=True)

    key_id: str
    name: Name
    sources: tuple[Source, ...] = Field(min_length=1)
    """Which products it asks for, and whose generations it sees; the first is the default."""
    user_id: Name | None
    """The one user that it acts for; None = whoever each request names."""
    requests_per_minute: int = Field(ge=1, le=REQUESTS_PER_MINUTE_MAX)


def new_key_id() -> str:
    """A random id: the name of a revoked key may be another key's later."""
    return "key_" + base64.b32encode(os.urandom(_ID_BYTES)).decode().rstrip("=").lower()


def new_secret() -> str:
    """256 random bits behind the prefix."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def is_secret(text: str) -> bool:
    """Whether it has the form of one, so that nothing else costs a query."""
    return _FORM.fullmatch(text) is not None


def hash_of(secret: str) -> bytes:
    """What is stored: SHA-256, since there is nothing to guess in 256 random bits."""
    return hashlib.sha256(secret.encode()).digest()
