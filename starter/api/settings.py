"""Which provider account the API asks: the one of the stack that it belongs to."""

from pydantic import SecretStr

from activities.provider.settings import ProviderSettings
from starter.places import Place

SANDBOX_KEY = "sandbox"


def provider_settings(place: Place) -> ProviderSettings:
    """What the stack's workers use; without a stack, or with a live one, the environment's.

    Raises:
        pydantic.ValidationError: a setting is wrong; it names the variable.
    """
    if place.stack is None or place.stack.live:
        return ProviderSettings()
    return ProviderSettings.model_validate(
        {"api_key": SecretStr(SANDBOX_KEY), "base_url": place.stack.provider}
    )
