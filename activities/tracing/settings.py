"""Where traces go: OpenTelemetry's own variables, of which its SDK reads more by itself."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class TracingSettings(BaseSettings):
    """Read from the environment when constructed; without an endpoint nothing is traced."""

    model_config = SettingsConfigDict(frozen=True, populate_by_name=True, extra="ignore")

    endpoint: str = Field(
        default="",
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="A collector that takes OTLP over HTTP, such as http://127.0.0.1:4318;"
        " empty = no traces",
    )
    traces_endpoint: str = Field(
        default="",
        validation_alias="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        description="The same for traces alone, with its path: http://127.0.0.1:4318/v1/traces",
    )
    is_disabled: bool = Field(
        default=False,
        validation_alias="OTEL_SDK_DISABLED",
        description="true = no traces in spite of an endpoint",
    )

    @property
    def url(self) -> str | None:
        """Where spans are posted; None where nobody asked for traces."""
        if self.is_disabled:
            return None
        if self.traces_endpoint:
            return self.traces_endpoint
        return f"{self.endpoint.rstrip('/')}/v1/traces" if self.endpoint else None
