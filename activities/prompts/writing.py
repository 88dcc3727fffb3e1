"""Who makes a prompt: the caller, the LLM, or a rule where no LLM gives one.

Knows neither Temporal nor PostgreSQL: the workers make each generation's prompt by it, and the
starter shows one without spending.
"""

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict

from activities.media.inputs import Inputs
from activities.prompts.errors import LlmError, NotNow
from activities.prompts.lengths import fit
from activities.prompts.questions import question_for
from activities.prompts.rules import avatar_prompt, scene_prompt
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.media import MediaById, Role
from workflows.contracts.requests import GenerationRequest, ImageToVideoRequest, Operation
from workflows.contracts.stories import Scene, StoryContext, Telling

if TYPE_CHECKING:
    # It imports the SDK, which takes half a second: a command line that asks nothing is spared it.
    from activities.prompts.llm import Llm

TellingT = TypeVar("TellingT", bound=Telling)

NO_LLM = "No LLM is configured (OPENAI_API_KEY or OPENAI_BASE_URL); a rule made the prompt."


class Prompt(BaseModel):
    """A prompt, who made it, and what there is to say of it."""

    model_config = ConfigDict(frozen=True)

    prompt: str | None
    """None where a talking avatar has nothing to make one of: then none is sent."""
    prompt_by: Literal["caller", "rule", "llm"] | None
    warnings: tuple[str, ...] = ()


class Wish(NamedTuple):
    """What a prompt is made of."""

    operation: Operation
    words: str
    """The caller's own prompt, trimmed; empty where there is none."""
    scene: Scene
    story: StoryContext
    duration_s: float | None
    """Seconds of video; None where the sound decides, which no prompt needs to know."""
    characters_max: int
    """The model's limit."""


async def wish_for(
    inputs: Inputs, request: GenerationRequest, *, duration_s: float | None, characters_max: int
) -> Wish:
    """What the request's prompt is made of; a stored scene or story is read.

    Raises:
        RequestRefused: `invalid_media`: a stored scene or story is none, or not this owner's.
        MediaError: the store gave no answer.
    """
    scene, story = Scene(), StoryContext()
    if not isinstance(request, ImageToVideoRequest):
        owner = request.user_id
        scene = await _read(inputs, owner, request.scene, "scene", Scene)
        story = await _read(inputs, owner, request.story_context, "story_context", StoryContext)
    if request.operation is Operation.SCENE_ANIMATION and not scene.is_told():
        # Nobody reserves for such a one; a preview is told here.
        told = "scene: a title, a description or an image_prompt is needed."
        raise RequestRefused(FailureKind.INVALID_MEDIA, told)
    words = (getattr(request, "prompt", None) or "").strip()
    return Wish(request.operation, words, scene, story, duration_s, characters_max)


async def _read(
    inputs: Inputs,
    user_id: str,
    given: TellingT | MediaById | None,
    role: Role,
    model: type[TellingT],
) -> TellingT:
    """A scene or story from where it stands; nothing told where none is given."""
    if given is None:
        return model()
    if not isinstance(given, MediaById):
        return given
    told = await inputs.told(user_id, given.media_id, role)
    assert isinstance(told, model), "a role is one kind of telling"
    return told


class Writer:
    """Makes prompts. `llm` is None where none is configured: then a rule makes them."""

    def __init__(self, llm: "Llm | None") -> None:
        self._llm = llm

    async def write(self, wish: Wish, *, patient: bool = False) -> Prompt:
        """The prompt, with warnings for what was dropped and for why no LLM made it.

        Raises:
            NotNow: only when `patient`: the LLM may answer later, and the caller will ask again.
        """
        if wish.words:
            return Prompt(prompt=wish.words, prompt_by="caller", warnings=_dropped(wish))
        if wish.operation is Operation.TALKING_AVATAR:
            made = avatar_prompt(wish.scene, wish.story, characters_max=wish.characters_max)
            by: Literal["rule"] | None = "rule" if made else None
            return Prompt(prompt=made, prompt_by=by, warnings=_dropped(wish))
        return await self._scene(wish, patient=patient)

    async def _scene(self, wish: Wish, *, patient: bool) -> Prompt:
        try:
            told = await self._ask(wish)
        except LlmError as error:
            if patient and isinstance(error, NotNow):
                raise
            return self._by_rule(wish, f"{str(error).rstrip('.')}; a rule made the prompt.")
        if told is None:
            return self._by_rule(wish, NO_LLM)
        prompt = fit(told, wish.characters_max)
        whole = len(prompt) == len(" ".join(told.split()))
        cut = f"The LLM's prompt was cut to the model's {wish.characters_max} characters."
        warnings = _dropped(wish) if whole else (*_dropped(wish), cut)
        return Prompt(prompt=prompt, prompt_by="llm", warnings=warnings)

    async def _ask(self, wish: Wish) -> str | None:
        if self._llm is None:
            return None
        question = question_for(
            wish.scene, wish.story, duration_s=wish.duration_s, characters_max=wish.characters_max
        )
        return await self._llm.animation_prompt(question)

    def _by_rule(self, wish: Wish, why: str) -> Prompt:
        made = scene_prompt(
            wish.scene, wish.story, duration_s=wish.duration_s, characters_max=wish.characters_max
        )
        return Prompt(prompt=made, prompt_by="rule", warnings=(*_dropped(wish), why))


def _dropped(wish: Wish) -> tuple[str, ...]:
    counts = {"scene": wish.scene.dropped_keys(), "story_context": wish.story.dropped_keys()}
    return tuple(
        f"{role}: {count} unknown {'key was' if count == 1 else 'keys were'} dropped."
        for role, count in counts.items()
        if count
    )
