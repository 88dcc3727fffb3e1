"""The sweeper's settings."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class SweepSettings(BaseSettings):
    """Read from the environment when constructed, and only then."""

    model_config = SettingsConfigDict(
        env_prefix="STILLMOTION_", frozen=True, populate_by_name=True, extra="ignore"
    )

    sweep_interval_s: int = Field(
        default=300, ge=0, description="How often the sweeper runs, in seconds; 0 = never"
    )
    sweep_grace_s: int = Field(
        default=600,
        ge=0,
        description="How long a generation may stand still before its workflow is looked for",
    )
