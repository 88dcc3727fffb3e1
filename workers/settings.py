"""The settings of a worker process; those of the clients stand beside the clients."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class WorkerSettings(BaseSettings):
    """Read from the environment when constructed, and only then."""

    model_config = SettingsConfigDict(env_prefix="STILLMOTION_", frozen=True, populate_by_name=True)

    heartbeat_timeout_s: int = Field(
        default=60,
        ge=5,
        description="How soon a dead worker's wait is taken over; a heartbeat is a billable action",
    )
    drain_s: int = Field(
        default=30, ge=0, description="How long a stopping worker lets its activities finish"
    )
    submit_slots: int = Field(
        default=8, gt=0, description="Submissions at once; each holds two database connections"
    )
    reconcile_slots: int = Field(
        default=4, gt=0, description="Doubts looked into at once; each holds two connections"
    )
    poll_slots: int = Field(default=2000, gt=0, description="Jobs waited for at once")
    media_slots: int = Field(default=4, gt=0, description="Downloads and decodings at once")
    database_slots: int = Field(default=50, gt=0, description="Short database steps at once")
    log_format: str = Field(
        default="console", pattern="^(console|json)$", description="console or json"
    )
