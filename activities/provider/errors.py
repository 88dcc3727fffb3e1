"""Everything that can go wrong with the provider, one leaf per situation.

    ProviderError
    ├── NotSent               nothing left this machine: repeat freely
    ├── KeyRefused            401: the key is wrong or missing
    ├── CreditExhausted       402: the provider's account is empty
    ├── AccessDenied          403: the account or its role may not do this
    ├── InputRefused          400, 422 or code 14xx: other inputs are needed
    ├── PromptRejected        code 12xx: moderation
    ├── NotFound              404: no such model, prediction or route
    ├── TooLarge              413: the file or the request is too big
    ├── Overloaded            429: wait `retry_after_s`
    ├── Unavailable           5xx, a timeout, a cut connection: try again later
    ├── MalformedReply        an answer that can't be understood
    └── SubmissionAmbiguous   only from `submit`: a prediction may or may not exist

A message is one sentence that may be shown to anyone: never the key, a URL's query or the
provider's own words. These, bounded and scrubbed, are in `provider_message` for logs. No leaf
chains the transport's exception, whose text can quote the reply.
"""

import re
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import ClassVar

RETRY_AFTER_S_MAX = 600.0
"""A longer wait is not believed: the provider's limits reset each minute (docs: account-levels)."""

PROVIDER_MESSAGE_CHARS_MAX = 300

_URL_WITH_TAIL = re.compile(r"(https?://[^\s\"'<>?#]*)[?#][^\s\"'<>]*", re.IGNORECASE)
_URL_USER = re.compile(r"(https?://)[^\s/@\"'<>]+@", re.IGNORECASE)
_TOKEN = re.compile(r"\b(bearer\s+|whsec_)[^\s\"',;<>]+", re.IGNORECASE)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class ProviderError(Exception):
    """A call to the provider that did not succeed. Catch the leaves; each says what to do next.

    Attributes:
        http_status: the reply's HTTP status; None where no reply came.
        code: the reply's most specific code, for example 1200; None where it gave none.
        retry_after_s: how long the provider asks us to wait, 0 to 600 s; None where it didn't say.
        provider_message: the provider's own words for a log, scrubbed and at most 300 characters.
    """

    sentence: ClassVar[str] = "The provider did not do what was asked."

    def __init__(
        self,
        message: str | None = None,
        *,
        http_status: int | None = None,
        code: int | None = None,
        retry_after_s: float | None = None,
        provider_message: str = "",
    ) -> None:
        super().__init__(message or self.sentence)
        self.http_status = http_status
        self.code = code
        self.retry_after_s = retry_after_s
        self.provider_message = provider_message


class NotSent(ProviderError):
    """Nothing of the request left this machine; whatever it was, it may be repeated."""

    sentence = "The provider could not be reached, so nothing was sent."


class KeyRefused(ProviderError):
    """Set the right WAVESPEED_API_KEY; a new key works only after the account's first top-up."""

    sentence = "The provider refuses our key."


class CreditExhausted(ProviderError):
    """Top the provider's account up; nothing was created."""

    sentence = "The provider's account has no credit left."


class AccessDenied(ProviderError):
    """Use a key whose role may do this, or have the account's level raised."""

    sentence = "The provider does not allow our account to do this."


class InputRefused(ProviderError):
    """Change the inputs; also raised before sending, for an id or a path of a wrong form."""

    sentence = "The provider refuses the inputs."


class PromptRejected(ProviderError):
    """Change the prompt or the picture: moderation refuses the same ones again."""

    sentence = "The provider's moderation rejects the prompt or the media."


class NotFound(ProviderError):
    """Check the model path or the prediction id; the provider keeps predictions for 7 days."""

    sentence = "The provider knows no such model or prediction."


class TooLarge(ProviderError):
    """Send a smaller file: the provider takes at most 200 MB."""

    sentence = "The provider says that the file or the request is too large."


class Overloaded(ProviderError):
    """Wait `retry_after_s`, or a minute, then repeat: a 429 created nothing."""

    sentence = "The provider asks us to slow down."


class Unavailable(ProviderError):
    """Repeat later with growing pauses; says nothing about any prediction."""

    sentence = "The provider is not available right now."


class MalformedReply(ProviderError):
    """The reply is not what the contract says; a repeat may bring a better one."""

    sentence = "The provider's reply could not be understood."


class SubmissionAmbiguous(ProviderError):
    """Reconcile before anything else: the paid POST was sent, and nobody said what became of it."""

    sentence = "The submission was sent but its outcome is unknown."


# Only statuses that say by themselves that the request was read and refused. 408, 409, 425, 499 and
# the like are not among them: for a paid POST they leave open what happened.
_BY_STATUS: dict[int, type[ProviderError]] = {
    HTTPStatus.BAD_REQUEST: InputRefused,
    HTTPStatus.UNAUTHORIZED: KeyRefused,
    HTTPStatus.PAYMENT_REQUIRED: CreditExhausted,
    HTTPStatus.FORBIDDEN: AccessDenied,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.METHOD_NOT_ALLOWED: NotFound,
    HTTPStatus.GONE: NotFound,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TooLarge,
    HTTPStatus.REQUEST_URI_TOO_LONG: InputRefused,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: InputRefused,
    HTTPStatus.UNPROCESSABLE_ENTITY: InputRefused,
    HTTPStatus.TOO_MANY_REQUESTS: Overloaded,
}
_INPUT_STATUSES = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}


def leaf_of(http_status: int, code: int | None) -> type[ProviderError]:
    """The situation that a failed reply describes.

    The cases, in this order: a redirect, which is never followed, is not an answer (1); a server
    error says nothing, whatever its body claims (2); a status that names its reason is believed
    (3); behind HTTP 400, 422 or 2xx the envelope's code decides, as a task code (4) or as a status
    (5).
    """
    status_class = http_status // 100
    if status_class == 3:  # noqa: PLR2004 -- (1)
        return MalformedReply
    if status_class not in {2, 4}:  # (2)
        return Unavailable
    if status_class == 4 and http_status not in _INPUT_STATUSES:  # noqa: PLR2004 -- (3)
        return _BY_STATUS.get(http_status, Unavailable)
    unknown = InputRefused if http_status in _INPUT_STATUSES else Unavailable
    return _leaf_of_code(http_status if code is None else code, unknown)


def _leaf_of_code(code: int, unknown: type[ProviderError]) -> type[ProviderError]:
    match code // 100:
        case 12:
            return PromptRejected
        case 14:
            return InputRefused
        case 2:
            # Success by its code, yet the caller found it wanting.
            return MalformedReply
        case 5 | 50:
            return Unavailable
        case _:
            return _BY_STATUS.get(code, unknown)


def parse_retry_after_s(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a Retry-After header: a number or an HTTP date, held within 0 to 600 s.

    `now` is aware UTC. None for a missing or unreadable header, which the provider's contract
    allows.
    """
    if value is None:
        return None
    text = value.strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text, re.ASCII):
        return min(float(text), RETRY_AFTER_S_MAX)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=now.tzinfo)
    return min(max((at - now).total_seconds(), 0.0), RETRY_AFTER_S_MAX)


def scrub(text: str, secret: str) -> str:
    """Foreign text made fit for a log: no secret, no URL query, one line, 300 characters.

    Cut last, so that no secret loses the part by which it is recognised.
    """
    clean = text.replace(secret, "***") if secret else text
    clean = _URL_WITH_TAIL.sub(r"\1?***", _URL_USER.sub(r"\1", clean))
    clean = _CONTROLS.sub(" ", _TOKEN.sub(r"\1***", clean))
    clean = "".join(c if c.isprintable() else " " for c in clean).strip()
    if len(clean) > PROVIDER_MESSAGE_CHARS_MAX:
        clean = clean[: PROVIDER_MESSAGE_CHARS_MAX - 1] + "…"
    return clean
