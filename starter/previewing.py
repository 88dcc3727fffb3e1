"""A prompt before spending: what a worker of the same place would be given for the same wish."""

from activities.prompts.settings import LlmSettings
from activities.prompts.writing import Prompt, Wish, Writer
from starter.places import Place
from workflows.contracts.requests import Operation


async def prompt_of(wish: Wish, place: Place) -> Prompt:
    """The prompt by the code that the workers use; an LLM is asked once, and only for a scene."""
    settings = llm_settings(place)
    if not settings.is_configured or wish.operation is not Operation.SCENE_ANIMATION:
        return await Writer(None).write(wish)
    # Imported when it is asked: the SDK would slow every other command down.
    from activities.prompts.llm import Llm  # noqa: PLC0415

    async with Llm(settings) as llm:
        return await Writer(llm).write(wish)


def llm_settings(place: Place) -> LlmSettings:
    """What the workers of this place ask: a sandbox's LLM, else the environment's or stack's."""
    stack = place.stack
    if stack is None or stack.live:
        settings = LlmSettings()
        if settings.is_configured or stack is None:
            return settings
    # The environment's key is for another endpoint.
    return LlmSettings.model_validate({"api_key": None, "base_url": stack.llm})
