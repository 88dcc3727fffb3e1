"""Where PostgreSQL is."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class DatabaseSettings(BaseSettings):
    """Read from the environment when constructed, and only then."""

    model_config = SettingsConfigDict(env_prefix="STILLMOTION_", frozen=True, populate_by_name=True)

    database_url: SecretStr = Field(
        description="PostgreSQL, as postgresql://user:password@host/database"
    )
    database_connections_max: int = Field(
        default=20, gt=0, description="Connections that one process may hold"
    )
