"""What a provider's webhook tells a workflow: the signal `provider_event` with one of these.

It is a hint of where to look, from whoever may signal; nothing about the job is believed from it.
"""

from pydantic import BaseModel, ConfigDict, Field, ValidationError

SIGNAL = "provider_event"


class ProviderEvent(BaseModel):
    """Something happened to a prediction."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    prediction_id: str = Field(pattern=r"^[A-Za-z0-9_-]{4,128}$")


def hint_of(arguments: tuple[object, ...]) -> str | None:
    """The prediction that a signal's arguments name; None where they are anything else."""
    if not arguments:
        return None
    try:
        return ProviderEvent.model_validate(arguments[0]).prediction_id
    except ValidationError:
        return None
