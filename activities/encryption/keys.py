"""The keys of payloads: which one encrypts, which ones decrypt, and where they are read again.

Written as `ID:BASE64,ID:BASE64`, in a variable or a file; in a file, lines may stand for commas.
The first encrypts, each decrypts what bears its id. `none` in place of the first encrypts nothing
any more, while the others go on decrypting: encryption is turned off so.
"""

import base64
import binascii
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_SIZE_BYTES = 32
"""AES-256."""

NO_KEY = "none"
MAKE_ONE = "`openssl rand -base64 32` makes a key"

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)

log = logging.getLogger(__name__)


class KeysUnusable(ValueError):
    """The keys can't be used. The message names the entry by its place and id, never a key."""


class KeyChanged(KeysUnusable):
    """Another key was given under an id that has one; `key_id` names it."""

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        super().__init__(
            f"the key given as {key_id!r} is not the one that is kept as {key_id!r}; allowed: the"
            " same key, or another one under another id"
        )


class KeyRing(NamedTuple):
    """The keys in force."""

    first: str | None
    """The id of the one that encrypts; None = nothing is encrypted."""
    ciphers: Mapping[str, AESGCM]


NO_KEYS = KeyRing(None, {})


class Keys(Protocol):
    """Gives the keys as they are now; asked for each payload, so it must be quick."""

    def __call__(self) -> KeyRing:
        """The keys in force."""
        ...


def parse_keys(text: str) -> KeyRing:
    """The keys that `text` lists.

    Raises:
        KeysUnusable: an entry is none, or an id stands twice.
    """
    entries = _entries(text)
    if not entries:
        raise KeysUnusable(f"no key; allowed: ID:BASE64,ID:BASE64; {MAKE_ONE}")
    ciphers = {key_id: AESGCM(key) for key_id, key in _keys(entries).items()}
    return KeyRing(None if entries[0] == NO_KEY else next(iter(ciphers)), ciphers)


def with_kept(given: str, kept: str) -> str:
    """The keys `given`, and after them those of `kept` whose ids they lack.

    Raises:
        KeyChanged: an id stands for different keys: what bears it could not be read any more.
        KeysUnusable: an entry is none, or an id stands twice.
    """
    listed, entries = _entries(given), _entries(kept)
    keys, before = _keys(listed), _keys(entries)
    for key_id, key in keys.items():
        if before.get(key_id, key) != key:
            raise KeyChanged(key_id)
    ids = {NO_KEY, *keys}
    return ",".join([*listed, *(each for each in entries if each.partition(":")[0] not in ids)])


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in re.split(r"[,\n]", text) if entry.strip()]


def _keys(entries: Sequence[str]) -> dict[str, bytes]:
    """Id → key, in their order."""
    keys: dict[str, bytes] = {}
    for place, entry in enumerate(entries, start=1):
        if entry == NO_KEY:
            if place > 1:
                raise KeysUnusable(f"key {place}: {NO_KEY!r}; it is allowed in the first place")
            continue
        key_id, key = _key(place, entry)
        if key_id in keys:
            raise KeysUnusable(f"key {place}: the id {key_id!r} stands twice")
        keys[key_id] = key
    return keys


def _key(place: int, entry: str) -> tuple[str, bytes]:
    key_id, colon, encoded = entry.partition(":")
    if not colon or key_id == NO_KEY or not _ID.fullmatch(key_id):
        # What stands before the colon may be a key whose id was forgotten: it is not repeated.
        raise KeysUnusable(
            f"key {place}: no id; allowed: ID:BASE64, an id of 1 to 64 letters, digits, '.', '_'"
            f" and '-', not {NO_KEY!r}"
        )
    try:
        key = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_SIZE_BYTES:
        raise KeysUnusable(
            f"key {place} ({key_id}): not {KEY_SIZE_BYTES} bytes in base64; {MAKE_ONE}"
        )
    return key_id, key


class KeyFile:
    """Keys in a file, read again when it changes: a rotation needs no restart.

    What can't be used then is told in the log, once, and the keys from before stay in force until
    it can.
    """

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            KeysUnusable: it can't be read, or holds no such keys.
        """
        self._path = path
        # First, so that what is written while it is read counts as a change.
        self._seen = self._stamp()
        self._ring = self._read()
        self._is_refused = False

    def __call__(self) -> KeyRing:
        """The keys that the file holds now."""
        seen = self._stamp()
        is_new, self._seen = seen != self._seen, seen
        if not is_new and not self._is_refused:
            return self._ring
        try:
            self._ring = self._read()
        except KeysUnusable as error:
            self._is_refused = True
            if is_new:
                log.error("payload keys not read again: %s", error)  # noqa: TRY400 - told whole
        else:
            self._is_refused = False
            log.info("payload keys read again, the first is %s", self._ring.first)
        return self._ring

    def _read(self) -> KeyRing:
        try:
            text = self._path.read_text("ascii")
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not plain text"
            raise KeysUnusable(f"the file can't be read: {why}") from None
        return parse_keys(text)

    def _stamp(self) -> tuple[int, ...] | None:
        """What tells one state of the file from another; None where there is no file."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
