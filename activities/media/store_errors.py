"""Our errors for those of the store's library, whose texts hold paths and bucket addresses.

One sentence each: what was tried, then what the store said. The words that are looked for are S3's
codes and those of object_store 0.14, through which every kind of store speaks.
"""

import re
from collections.abc import Generator
from contextlib import contextmanager

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from activities.media.errors import (
    BucketMissing,
    StoreError,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
    is_disk_full,
)

# A full disk or quota: ENOSPC, EDQUOT, HTTP 507.
_FULL = re.compile(r"os error (28|122)\b|507 Insufficient Storage|StorageFull|QuotaExceeded")
_NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|The specified bucket does not exist")
_REFUSED = re.compile(
    r"InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|ExpiredToken|InvalidToken"
)
_STATUS = re.compile(r"status code: (\d{3})\b")
_REASONS = (
    ("incorrectly configured region", "its bucket is in another region than AWS_REGION says"),
    ("error sending request", "it can't be reached, or stopped answering"),
    ("error decoding response body", "the connection broke off"),
    ("builder error", "its address can't be used"),
)


@contextmanager
def translated(doing: str, *, missing: type[StoreError] = StoreUnavailable) -> Generator[None]:
    """Raise our errors for the store's.

    Args:
        doing: What was tried, after "could not".
        missing: What "not found" means: the object when reading, the bucket when writing.
    """
    try:
        yield
    except FileNotFoundError as error:
        if _NO_BUCKET.search(str(error)):
            raise BucketMissing(f"could not {doing}: there is no such bucket") from error
        raise missing(f"could not {doing}: it is not in the media store") from error
    except OSError as error:
        if is_disk_full(error):
            raise StoreFull(f"could not {doing}: the disk is full") from error
        raise StoreUnavailable(f"could not {doing}: {error.strerror or 'no answer'}") from error
    except BaseError as error:
        raise _told(doing, error) from error


def _told(doing: str, error: BaseError) -> StoreError:
    text = str(error)
    if _FULL.search(text):
        return StoreFull(f"could not {doing}: the media store is full")
    if _NO_BUCKET.search(text):
        return BucketMissing(f"could not {doing}: there is no such bucket")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or _REFUSED.search(text):
        return StoreRefused(f"could not {doing}: the media store refuses our credentials")
    return StoreUnavailable(f"could not {doing}: the media store failed, {_reason(error, text)}")


def _reason(error: BaseError, text: str) -> str:
    if status := _STATUS.search(text):
        return f"it answered with HTTP {status[1]}"
    for words, reason in _REASONS:
        if words in text:
            return reason
    return f"its client said {type(error).__name__.removesuffix('Error')}"
