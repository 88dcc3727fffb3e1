"""The settings of a worker process; those of the clients stand beside the clients."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from activities.provider.settings import PacingSettings


class WorkerSettings(PacingSettings):
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
    deployment_name: str = Field(
        default="stillmotion",
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="The name under which Temporal knows the versions of our workers",
    )
    build_id: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_.+-]{0,128}$",
        description="The version of the code, such as a commit; empty = workers without versions."
        " Once it polls: stillmotion release BUILD_ID",
    )
    submit_slots: int = Field(
        default=8, gt=0, description="Submissions at once; each holds a database connection"
    )
    reconcile_slots: int = Field(
        default=4, gt=0, description="Doubts looked into at once; each holds a database connection"
    )
    poll_slots: int = Field(default=2000, gt=0, description="Jobs waited for at once")
    media_slots: int = Field(default=4, gt=0, description="Downloads and decodings at once")
    database_slots: int = Field(default=50, gt=0, description="Short database steps at once")
    workflows_cached_max: int = Field(
        default=1024,
        ge=0,
        description="Workflows kept in memory between their steps, 100 kB each. A step of any other"
        " costs twice as much: what is started at once should fit in",
    )
    metrics_address: str | None = Field(
        default=None,
        pattern=r"^[^\s/]+:[0-9]{1,5}$",
        description="Where Prometheus finds this worker's metrics, as IP:PORT; unset = nowhere",
    )
    report_interval_s: int = Field(
        default=15, gt=0, description="How often a worker's metrics say what waits and what is held"
    )
    log_format: str = Field(
        default="console", pattern="^(console|json)$", description="console or json"
    )
