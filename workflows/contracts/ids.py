"""Identifiers: made and checked here, nowhere else.

Ids derive from what they name, so that whoever repeats a request repeats its ids:
the same user and key give the same generation, the same owner and bytes the same media.
"""

import base64
import hashlib
import re

_GENERATION = re.compile(r"^gen_[a-z0-9]{26}$")


def generation_id_for(user_id: str, idempotency_key: str) -> str:
    """The generation, and so the workflow, that this user's key names for ever."""
    return "gen_" + _digest(user_id, idempotency_key)


def media_id_for(user_id: str, sha256: str) -> str:
    """The media id of these bytes for this owner; another owner's copy has another id."""
    return "med_" + _digest(user_id, sha256)


def asset_id_for(generation_id: str) -> str:
    """The one asset that a generation can make."""
    return "ast_" + _digest(generation_id)


def batch_id_for(user_id: str, idempotency_key: str) -> str:
    """The batch that this user's key names for ever."""
    return "bat_" + _digest("batch", user_id, idempotency_key)


def callbacks_id_for(generation_id: str) -> str:
    """The workflow that tells a generation's stages to its `callback_url`."""
    return f"callbacks-{generation_id}"


def generation_digest(generation_id: str) -> str:
    """16 hex characters that stand for a generation in a file's key, whatever its id looks like."""
    return hashlib.sha256(generation_id.encode()).hexdigest()[:16]


def is_generation_id(text: str) -> bool:
    """Whether `text` has the form of an id that we made; a wire caller's own id need not."""
    return _GENERATION.fullmatch(text) is not None


def _digest(*parts: str) -> str:
    # The length before each part keeps ("ab", "c") and ("a", "bc") apart.
    joined = "".join(f"{len(part)}:{part}" for part in parts)
    raw = hashlib.sha256(joined.encode()).digest()[:16]
    return base64.b32encode(raw).decode().rstrip("=").lower()
