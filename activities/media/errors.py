"""What can go wrong with media, one leaf per situation.

    MediaError
    ├── MediaInvalid                the file itself is refused: asking again gives the same answer
    │   ├── NotAnImage, NotAudio    another kind of file, or a format that is not taken
    │   ├── Truncated               its end is missing
    │   ├── Damaged                 complete by its size, but it does not decode
    │   ├── TooLarge, TooManyPixels, ManyFrames
    │   └── VideoCorrupt            anything wrong with a video
    ├── DecodingFailed              nothing is known about the file
    │   ├── DecodingTimedOut
    │   └── DecoderCrashed
    ├── StoreError
    │   ├── NotStored               no object under this key
    │   ├── StoreFull               a person has to make room
    │   ├── StoreRefused            a person has to give us the right key
    │   ├── BucketMissing           a person has to make it, or to name another
    │   └── StoreUnavailable        worth another try
    └── FetchError
        ├── UrlRefused              never tried, or stopped at an address we do not visit
        ├── FetchTooLarge
        ├── FetchExpired            403, 404 or 410: the address is read again or given up
        └── FetchFailed             worth another try

Messages are written for the person who sent the file. They hold a file's base name, a host name
and a status at most: never a path of this machine, a URL's path or query, or a library's own words.
"""

# A leaf is named by its situation, as in every error tree of this project.

import errno
from typing import ClassVar

_NAME_LENGTH_MAX = 80


class MediaError(Exception):
    """Any failure of the media room."""


class MediaInvalid(MediaError):
    """The file is refused for good: `what` `reason`; allowed is `allowed`.

    Args:
        what: The file's base name; cleaned and shortened here, since its owner chose it.
        reason: A predicate with the measured value in it, such as `has 9 pixels`.
        allowed: What would have been taken.
    """

    def __init__(self, what: str, reason: str, allowed: str) -> None:
        what = what[:_NAME_LENGTH_MAX]
        self.what = "".join(c if c.isprintable() else "?" for c in what)
        self.reason = reason
        self.allowed = allowed
        super().__init__(f"{self.what} {reason}; allowed: {allowed}")


class NotAnImage(MediaInvalid):
    """No picture, or one in a format that is not taken."""


class NotAudio(MediaInvalid):
    """No sound, or sound in a format that is not taken."""


class Truncated(MediaInvalid):
    """The end of the file is missing."""


class Damaged(MediaInvalid):
    """The file is of the right format but its content does not decode."""


class TooLarge(MediaInvalid):
    """More bytes than the limit."""


class TooManyPixels(MediaInvalid):
    """More pixels than the limit, by its header, before anything is decoded."""


class ManyFrames(MediaInvalid):
    """An animation, where one still picture is needed."""


class VideoCorrupt(MediaInvalid):
    """The video is not complete and playable from its first frame to its last."""


MEDIA_INVALID: dict[str, type[MediaInvalid]] = {
    kind.__name__: kind
    for kind in (
        NotAnImage,
        NotAudio,
        Truncated,
        Damaged,
        TooLarge,
        TooManyPixels,
        ManyFrames,
        VideoCorrupt,
    )
}
"""By name, to carry a refusal out of the decoding process."""


class DecodingFailed(MediaError):
    """The decoding process gave no answer. `diagnostics` is the end of its stderr, for a log."""

    def __init__(self, message: str, diagnostics: str = "") -> None:
        self.diagnostics = diagnostics
        super().__init__(message)


class DecodingTimedOut(DecodingFailed):
    """The wall clock or CPU limit passed and the process was killed."""


class DecoderCrashed(DecodingFailed):
    """The process died, ran out of memory or answered nonsense."""


class StoreError(MediaError):
    """The media store could not do what was asked."""

    repair: ClassVar[str] = "check STILLMOTION_MEDIA_URL, and AWS_ENDPOINT_URL of a bucket"
    """What an operator can do."""


class NotStored(StoreError):
    """There is no object under this key."""


class StoreFull(StoreError):
    """The disk or quota is full: make room, then resume."""

    repair = "make room, then stillmotion resume ID for what is parked"


class StoreRefused(StoreError):
    """The bucket refuses our credentials, or they may not do this."""

    repair = (
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the machine's role, to one that may"
        " get, put, delete and list there"
    )


class BucketMissing(StoreError):
    """There is no bucket of this name."""

    repair = "make the bucket (aws s3 mb s3://BUCKET), or name another in STILLMOTION_MEDIA_URL"


class StoreUnavailable(StoreError):
    """The store did not answer or refused; the same call may work later."""


class FetchError(MediaError):
    """A file could not be fetched from a URL."""


class UrlRefused(FetchError):
    """The URL, or the address behind it, is not one that we visit. The message says why."""


class FetchTooLarge(FetchError):
    """The body is, or says it is, larger than the limit."""


class FetchExpired(FetchError):
    """The server says that the file is not there (any more) or not for us: 403, 404 or 410."""

    def __init__(self, message: str, status: int) -> None:
        self.status = status
        super().__init__(message)


class FetchFailed(FetchError):
    """Connection, timeout, status or a short body. `status` is the HTTP status, if any came."""

    def __init__(self, message: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)


def is_disk_full(error: OSError) -> bool:
    """Whether a local write failed because the disk or the quota is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
