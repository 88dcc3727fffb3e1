"""What `doctor` says of the provider's webhooks: asked for, and taken where they are sent.

Nothing is broken without them, since polling goes on: what is amiss is a warning.
"""

import httpx

from activities.provider.settings import ProviderSettings

ANSWER_WITHIN_S = 5.0
TOLD_CHARACTERS_MAX = 100


async def webhooks() -> str:
    """How this environment's webhooks stand, in a sentence.

    Raises:
        pydantic.ValidationError: STILLMOTION_PUBLIC_URL can't be used.
    """
    public_url = ProviderSettings().public_url
    if public_url is None:
        return "not asked for: STILLMOTION_PUBLIC_URL is not set here"
    told = await _told_at(public_url)
    if told != "taken":
        return f"warning: at {public_url} they are {told}; polling goes on"
    return f"taken at {public_url}"


async def _told_at(public_url: str) -> str:
    """What the API there says of webhooks."""
    tls = httpx.create_ssl_context(trust_env=False)
    async with httpx.AsyncClient(trust_env=False, verify=tls, timeout=ANSWER_WITHIN_S) as http:
        try:
            ready = (await http.get(f"{public_url}/readyz")).json()
        except (httpx.HTTPError, ValueError) as error:
            return f"not taken as seen from here ({type(error).__name__}); start: stillmotion api"
    parts = ready.get("parts", ready) if isinstance(ready, dict) else {}
    told = parts.get("webhooks") if isinstance(parts, dict) else None
    if isinstance(told, str) and told.isprintable() and len(told) <= TOLD_CHARACTERS_MAX:
        return told
    return "not taken: another server answers"
