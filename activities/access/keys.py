"""The secret of an API key: made once, shown once, stored as a hash."""

import hashlib
import re
import secrets

from pydantic import BaseModel, ConfigDict

PREFIX = "sm_"
"""Scanners of leaked secrets go by it."""

_RANDOM_BYTES = 32
_FORM = re.compile(r"sm_[A-Za-z0-9_-]{43}")


class Key(BaseModel):
    """A key as its holder's requests meet it."""

    model_config = ConfigDict(frozen=True)

    key_id: str
    name: str
    sources: tuple[str, ...]
    """Which products it asks for, and whose generations it sees; the first is the default."""
    user_id: str | None
    """The one user that it acts for; None = whoever each request names."""
    requests_per_minute: int


def new_secret() -> str:
    """256 random bits behind the prefix."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def is_secret(text: str) -> bool:
    """Whether it has the form of one, so that nothing else costs a query."""
    return _FORM.fullmatch(text) is not None


def hash_of(secret: str) -> bytes:
    """What is stored: SHA-256, since there is nothing to guess in 256 random bits."""
    return hashlib.sha256(secret.encode()).digest()
