"""The key by which a request may be sent again: the `Idempotency-Key` header, or the body's field.

The header is a quoted string, as the IETF's draft writes it, or the plain text. The field
`idempotency_key` says the same; where both are there, they must agree.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from pydantic import TypeAdapter, ValidationError

from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.texts import Name

KEY_HEADER = "Idempotency-Key"
FIELD = "idempotency_key"

_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_ESCAPED = re.compile(r"\\(.)")
_KEY: TypeAdapter[str] = TypeAdapter(Name)
_HEADER = Header(
    alias=KEY_HEADER,
    description="The same key and request give the same generation or batch, for ever: a repeat"
    " costs nothing. The same key with another request is refused. 1 to 200 printable characters"
    " of ASCII, in quotes or plain.",
    examples=["8e03978e-40d5-43dd-bc93-6894a57f9324"],
)


def key_of(request: Request, named: Annotated[str | None, _HEADER] = None) -> str | None:
    """The key in a request's header; None without one.

    Raises:
        RequestRefused: it can't be a key, or several are sent.
    """
    # It is there for the document; what was sent is read as it was sent.
    del named
    sent = request.headers.getlist(KEY_HEADER)
    if not sent:
        return None
    if len(sent) > 1:
        raise _refused("given twice")
    text = sent[0].strip()
    quoted = _QUOTED.fullmatch(text)
    if text.startswith('"') and quoted is None:
        raise _refused("begins with a quote and doesn't end with one")
    try:
        key = _KEY.validate_python(_ESCAPED.sub(r"\1", quoted[1]) if quoted is not None else text)
    except ValidationError:
        key = None
    if key is None or not key.isascii():
        raise _refused("allowed: 1 to 200 printable characters of ASCII")
    return key


KeyOf = Annotated[str | None, Depends(key_of)]
"""A route's parameter: the key in the header."""


def with_key(fields: Mapping[str, Any], key: str | None) -> dict[str, Any]:
    """The fields of a body with the header's key among them.

    Raises:
        RequestRefused: the body has another one.
    """
    if key is None:
        return dict(fields)
    if fields.get(FIELD) not in (None, key):
        told = f"{FIELD}: it differs from the header {KEY_HEADER}; allowed: one, or both alike."
        raise RequestRefused(FailureKind.INVALID_REQUEST, told)
    return {**fields, FIELD: key}


def _refused(why: str) -> RequestRefused:
    return RequestRefused(FailureKind.INVALID_REQUEST, f"{KEY_HEADER}: {why}.")
