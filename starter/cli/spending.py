"""Before money is spent: quotes as people read them, the caller's limit, and the one question."""

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from starter.cli.context import Context
from starter.cli.output import Fields
from starter.cli.refusals import DONE, Usage, with_flag
from workflows.contracts.texts import dollars

if TYPE_CHECKING:
    from activities.ledger.usage import Estimate

ASK_ABOVE_USD_MICROS = 1_000_000
"""A person is asked before more than this is spent."""

_USD_MICROS_MAX = 2**53


def usd_micros(usd: str | None) -> int | None:
    """`--max-cost` in millionths of a dollar.

    Raises:
        Usage: it is no amount.
    """
    if usd is None:
        return None
    try:
        amount = Decimal(usd) * 1_000_000
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 <= amount <= _USD_MICROS_MAX:
        raise Usage(f"--max-cost: {usd[:40]!r}; allowed: an amount in USD, such as 0.60.")
    return int(amount)


def agreed(ctx: Context, cost_usd_micros: int, *, yes: bool) -> bool:
    """Whether so much may be spent: asks where a person is there to answer and it is much."""
    if yes or cost_usd_micros <= ASK_ABOVE_USD_MICROS or not ctx.output.can_ask:
        return True
    if ctx.output.ask(f"This will cost {dollars(cost_usd_micros)}. Start it?"):
        return True
    ctx.output.note("Not started. Nothing was charged.")
    return False


def not_refused(quoted: "Estimate") -> None:
    """Raise RequestRefused where a limit stops it."""
    from workflows.contracts.failures import RequestRefused

    if quoted.refusal is not None:
        raise RequestRefused(quoted.refusal.kind, quoted.refusal.message)


def tell_quote(ctx: Context, quoted: "Estimate") -> None:
    """Print a quote."""
    ctx.output.value(quoted, _quote(quoted), bare=dollars(quoted.quote.cost_usd_micros))


def quote_code(quoted: "Estimate") -> int:
    """What `--dry-run` exits with: as the start itself would."""
    from workflows.contracts.failures import RULES

    return DONE if quoted.refusal is None else RULES[quoted.refusal.kind].exit_code


def _quote(quoted: "Estimate") -> Fields:
    quote, usage, refusal = quoted.quote, quoted.usage, quoted.refusal
    videos = "unlimited" if usage.videos_remaining is None else str(usage.videos_remaining)
    left = usage.remaining_usd_micros
    money = "unlimited" if left is None else dollars(left)
    video = f"{quote.duration_s:g} s, {quote.width}x{quote.height} ({quote.resolution})"
    return Fields(
        [
            ("model", quote.model),
            ("cost", dollars(quote.cost_usd_micros)),
            ("video", video),
            ("usually takes", f"~{quote.expected_s} s"),
            ("allowed", "yes" if quoted.allowed else "no"),
            ("remaining", f"{videos} videos, {money} on plan {usage.plan} of {usage.user_id}"),
            ("stopped by", with_flag(f"{refusal.message} {refusal.hint}") if refusal else None),
        ]
    )
