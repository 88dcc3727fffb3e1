"""Encrypts what reaches Temporal: each payload whole, by AES-256-GCM under a random nonce.

An encrypted payload holds, as `data`, the nonce and the ciphertext of the serialised original, with
its metadata; its own metadata are the encoding and the key's id, which the ciphertext is bound to.
It is not bound to a workflow: the server moves payloads, such as a child's result into its parent's
history or a schedule's input into each run, and a codec server is not told where one came from.

What is not encrypted is read as it stands, so that encryption may be turned on at any time. What
can't be decrypted is an error that is tried again, by Temporal or by a person, never a value.
"""

import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

from activities.encryption.keys import KeyRing, Keys
from workflows.contracts.payloads import ENCRYPTED

KEY_ID = "encryption-key-id"
NONCE_SIZE_BYTES = 12
"""96 bits, as GCM wants it. Random ones are safe for 2**32 payloads of a key (NIST SP 800-38D)."""

_SHOWN_CHARACTERS_MAX = 64


class PayloadUnreadable(Exception):
    """A payload is encrypted with a key that isn't here, or was changed since."""


class EncryptionCodec(PayloadCodec):
    """Encrypts with the first key, decrypts by the key's id."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """The payloads, encrypted; as they are where no key encrypts."""
        ring = self._keys()
        return [_encrypted(payload, ring) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """The payloads as they were.

        Raises:
            PayloadUnreadable: one is encrypted and can't be decrypted.
        """
        ring = self._keys()
        return [_decrypted(payload, ring) for payload in payloads]


def _encrypted(payload: Payload, ring: KeyRing) -> Payload:
    if ring.first is None:
        return payload
    nonce = os.urandom(NONCE_SIZE_BYTES)
    key_id = ring.first.encode()
    sealed = ring.ciphers[ring.first].encrypt(nonce, payload.SerializeToString(), _bound(key_id))
    return Payload(metadata={"encoding": ENCRYPTED, KEY_ID: key_id}, data=nonce + sealed)


def _decrypted(payload: Payload, ring: KeyRing) -> Payload:
    if payload.metadata.get("encoding") != ENCRYPTED:
        return payload
    key_id = payload.metadata.get(KEY_ID, b"")
    named = key_id.decode("ascii", "replace")[:_SHOWN_CHARACTERS_MAX]
    cipher = ring.ciphers.get(named)
    if cipher is None:
        raise PayloadUnreadable(
            f"A payload is encrypted with the key {named!r}, which is not among the"
            f" {len(ring.ciphers)} of STILLMOTION_PAYLOAD_KEYS. Nothing is lost: add it."
        )
    nonce, sealed = payload.data[:NONCE_SIZE_BYTES], payload.data[NONCE_SIZE_BYTES:]
    try:
        return Payload.FromString(cipher.decrypt(nonce, sealed, _bound(key_id)))
    except (InvalidTag, ValueError, DecodeError):
        # Without the cause: a parser's words may hold what it parsed.
        raise PayloadUnreadable(
            f"A payload says that it is encrypted with the key {named!r}, and is not, or was"
            " changed since. Another key may stand under this id in STILLMOTION_PAYLOAD_KEYS."
        ) from None


def _bound(key_id: bytes) -> bytes:
    return ENCRYPTED + b"\x00" + key_id
