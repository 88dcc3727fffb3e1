"""The provider's money as integer micro-USD.

The provider writes USD with a fraction in most places; its bill comes in one of two units, and
nothing on the wire says which.
"""

import re
from decimal import ROUND_HALF_UP, Decimal

from pydantic import JsonValue

USD_MICROS = 1_000_000

MICRO_USD_FROM = 1000
"""Billed amounts from here on are micro-USD, below it USD; see `billed_usd_micros`."""

USD_MICROS_END = 10**15
"""No amount is as large: a billion dollars is a mistake, and a sum of thousands of smaller ones
still fits the database's 64 bits."""

_NUMBER = re.compile(r"-?\d{1,12}(\.\d{1,18})?(e-?\d{1,2})?", re.ASCII)


def usd_micros(amount: JsonValue) -> int:
    """An amount of USD as integer micro-USD, rounded half up.

    Raises:
        ValueError: not a number, or a billion dollars and more.
    """
    return _bounded((_decimal(amount) * USD_MICROS).to_integral_value(ROUND_HALF_UP))


def quoted_usd_micros(data: JsonValue) -> int:
    """What `POST /model/price` says the run costs now: the discounted price where there is one.

    Raises:
        ValueError: no price, a negative one, or a currency other than USD.
    """
    # A tuple, since whatever stands there need not be hashable.
    if not isinstance(data, dict) or data.get("currency", "USD") not in ("USD", "usd"):
        raise ValueError("not a price in USD")
    discounted = data.get("discounted_price")
    price = usd_micros(data.get("price") if discounted is None else discounted)
    if price < 0:
        raise ValueError("the price is negative")
    return price


def billed_usd_micros(amount: JsonValue) -> int:
    """A bill's amount as integer micro-USD, whichever unit it came in.

    The provider's page exists in two copies: one shows `24300` (micro-USD by its size), one `0.02`,
    in USD. Rule: from 1000 up, either sign, an amount is micro-USD; below, USD. No single
    prediction costs $1000 (the dearest of our models: $36) or a tenth of a cent (1000 micro-USD),
    so only one reading can be right.

    Raises:
        ValueError: not a number, micro-USD with a fraction, or a billion dollars and more.
    """
    value = _decimal(amount)
    if abs(value) < MICRO_USD_FROM:
        return usd_micros(amount)
    if value != value.to_integral_value():
        raise ValueError("the amount is neither USD nor whole micro-USD")
    return _bounded(value)


def _bounded(usd_micros_: Decimal) -> int:
    if abs(usd_micros_) >= USD_MICROS_END:
        raise ValueError("the amount is too large to be one")
    return int(usd_micros_)


def _decimal(value: JsonValue) -> Decimal:
    """The number as it was written: a float's text is the shortest that reads back the same."""
    is_number = isinstance(value, int | float | str) and not isinstance(value, bool)
    if not is_number or _NUMBER.fullmatch(str(value)) is None:
        raise ValueError("not an amount of money")
    return Decimal(str(value))
