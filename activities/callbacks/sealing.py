"""Encryption at rest of the signing secrets: AES-256-GCM with the deployment's key.

A sealed secret opens for its own source only, so rows can't be exchanged for one another.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_SIZE_BYTES = 12


class SecretUnreadable(Exception):
    """A secret was sealed with another key, or for another source. The message says what to do."""


def seal(key: bytes, secret: bytes, source: str) -> bytes:
    """The secret as it may stand in a table: nonce, ciphertext and tag."""
    nonce = os.urandom(_NONCE_SIZE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, secret, _bound_to(source))


def unseal(key: bytes, sealed: bytes, source: str) -> bytes:
    """The secret again.

    Raises:
        SecretUnreadable: another key or another source.
    """
    nonce, rest = sealed[:_NONCE_SIZE_BYTES], sealed[_NONCE_SIZE_BYTES:]
    try:
        return AESGCM(key).decrypt(nonce, rest, _bound_to(source))
    except (InvalidTag, ValueError):
        raise SecretUnreadable(
            f"the secret of {source} was encrypted with another STILLMOTION_SECRET_KEY;"
            f" restore that key, or: stillmotion callbacks secret {source} --rotate"
        ) from None


def _bound_to(source: str) -> bytes:
    return f"stillmotion callback secret of {source}".encode()
