"""The deployment's own limits."""

from decimal import Decimal
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class LedgerSettings(BaseSettings):
    """Read from the environment when constructed, and only then."""

    model_config = SettingsConfigDict(env_prefix="STILLMOTION_", frozen=True, populate_by_name=True)

    spend_limit_usd_day: Decimal | None = Field(
        default=None,
        ge=0,
        description="The deployment's cap for one day (UTC), in USD; unset = none",
    )
    spend_limit_usd_month: Decimal | None = Field(
        default=None,
        ge=0,
        description="The deployment's cap for one month (UTC), in USD; unset = none",
    )
    default_plan: str = Field(
        default="free", description="The plan of a user without a subscription; none refuses them"
    )
    catalogue: Path | None = Field(
        default=None, description="A JSON file that replaces the model catalogue"
    )

    @property
    def day_limit_usd_micros(self) -> int | None:
        """The daily cap in micro-USD."""
        return _micros(self.spend_limit_usd_day)

    @property
    def month_limit_usd_micros(self) -> int | None:
        """The monthly cap in micro-USD."""
        return _micros(self.spend_limit_usd_month)


def _micros(usd: Decimal | None) -> int | None:
    return None if usd is None else int(usd * 1_000_000)
