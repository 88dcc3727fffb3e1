"""A client of any OpenAI-compatible endpoint: one question, one request, no retries of its own.

It knows nothing of Temporal or PostgreSQL and works from a script. The reply is read as our own
models: an endpoint that is not OpenAI's may answer 200 with anything.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from string import ascii_letters
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, Field, ValidationError

from activities.prompts import errors
from activities.prompts.questions import ANSWER_SCHEMA, Question
from activities.prompts.settings import LlmSettings
from activities.provider.errors import parse_retry_after_s
from activities.tracing.spans import Notes, call_span
from workflows.contracts.texts import Storable

if TYPE_CHECKING:
    # As long to import as all else of a worker, many of which are never asked for a prompt.
    import openai
    from openai.types.chat import ChatCompletionMessageParam
    from openai.types.shared_params import ResponseFormatJSONSchema

RETRY_AFTER_S_MAX = 60.0
"""Somebody waits for a video: rather a prompt by rule than a longer pause between two questions."""

ANSWER_TOKENS_MAX = 4096
"""A prompt takes some 600 even at the models' limits; one that reasons first needs the rest."""

REPLY_SIZE_BYTES_MAX = 256 * 1024
ANSWER_CHARACTERS_MAX = 20_000

_TEXT_CHARACTERS_MAX = 2 * ANSWER_CHARACTERS_MAX
"""The answer's JSON, its escapes, and what a model says around it; more is not looked at."""

_NO_KEY = "none"
"""The SDK demands a key; an endpoint of one's own often has none."""

_FORMAT: "ResponseFormatJSONSchema" = {
    "type": "json_schema",
    "json_schema": {"name": "animation", "strict": True, "schema": ANSWER_SCHEMA},
}
_FENCE = "```"
_FILTER_CODES = {"content_filter", "content_policy_violation"}
_ALSO_NOT_NOW = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY}


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)


class _Answer(BaseModel):
    animation_prompt: Storable = Field(max_length=ANSWER_CHARACTERS_MAX)


def _untold(_outcome: str, _seconds: float) -> None:
    """Nobody counts."""


class Llm:
    """The endpoint behind one address and key: `async with Llm(settings) as llm`.

    `tell` hears of every question: `answered` or the error's type, and how long it took in seconds.
    """

    def __init__(
        self, settings: LlmSettings, *, tell: Callable[[str, float], None] = _untold
    ) -> None:
        assert settings.is_configured, "without an LLM nobody is asked"
        self._settings = settings
        self._tell = tell
        self._client: openai.AsyncOpenAI | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.close()

    async def animation_prompt(self, question: Question) -> str:
        """The answer to `question`, by exactly one request.

        Raises:
            LlmError: a leaf says why there is none, and whether to ask again (`NotNow`).
        """
        began, outcome = time.perf_counter(), "answered"
        try:
            with call_span(
                f"chat {self._settings.model}",
                gen_ai_operation_name="chat",
                gen_ai_request_model=self._settings.model,
                http_request_method="POST",
                url_template="/chat/completions",
            ) as notes:
                return await self._animation_prompt(question, notes)
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            self._tell(outcome, time.perf_counter() - began)

    async def _animation_prompt(self, question: Question, notes: Notes) -> str:
        import openai  # noqa: PLC0415

        # Without their causes: the SDK's own words hold the reply, and its objects the request.
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                reply = await self._ask(question)
        except TimeoutError:
            raise self._too_late() from None
        except openai.APITimeoutError:
            raise self._too_late() from None
        except openai.APIConnectionError:
            raise errors.Unavailable from None
        except openai.APIStatusError as error:
            notes["http_response_status_code"] = error.status_code
            raise _leaf_of(error) from None
        except openai.OpenAIError:
            raise errors.AnswerUseless from None
        notes["http_response_status_code"] = HTTPStatus.OK.value
        return _prompt_in(reply)

    async def _ask(self, question: Question) -> bytes:
        messages: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": question.system},
            {"role": "user", "content": question.user},
        ]
        self._client = self._client or _sdk_client(self._settings)
        reply = await self._client.chat.completions.with_raw_response.create(
            model=self._settings.model,
            messages=messages,
            response_format=_FORMAT,
            max_completion_tokens=ANSWER_TOKENS_MAX,
        )
        return reply.content

    def _too_late(self) -> errors.LlmError:
        return errors.Unavailable(
            f"The LLM did not answer within {self._settings.timeout_s:g} seconds."
        )


def _sdk_client(settings: LlmSettings) -> "openai.AsyncOpenAI":
    import openai  # noqa: PLC0415

    key = settings.api_key
    return openai.AsyncOpenAI(
        api_key=key.get_secret_value() if key else _NO_KEY,
        base_url=settings.address,
        timeout=settings.timeout_s,
        max_retries=0,
        # As the provider's client: no proxy of the environment, which it would use even for
        # this machine's own addresses.
        http_client=openai.DefaultAsyncHttpxClient(trust_env=False),
    )


def _leaf_of(error: "openai.APIStatusError") -> errors.LlmError:
    """The situation that a failed reply describes."""
    status, code = error.status_code, error.code
    wait_s = parse_retry_after_s(error.response.headers.get("retry-after"), datetime.now(UTC))
    if wait_s is not None:
        wait_s = min(wait_s, RETRY_AFTER_S_MAX)
    if status == HTTPStatus.PAYMENT_REQUIRED or code == "insufficient_quota":
        return errors.CreditExhausted()
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return errors.Busy(retry_after_s=wait_s)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return errors.KeyRefused()
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _ALSO_NOT_NOW:
        return errors.Unavailable(retry_after_s=wait_s)
    return errors.AnswerRefused() if code in _FILTER_CODES else errors.QuestionRejected()


def _prompt_in(reply: bytes) -> str:
    """The prompt in a successful reply."""
    if len(reply) > REPLY_SIZE_BYTES_MAX:
        raise errors.AnswerUseless
    try:
        choice = _Completion.model_validate_json(reply).choices[0]
        if choice.message.refusal or choice.finish_reason == "content_filter":
            raise errors.AnswerRefused
        text = choice.message.content or ""
        if len(text) > _TEXT_CHARACTERS_MAX:
            raise errors.AnswerUseless
        answer = _Answer.model_validate_json(_without_fences(text))
    except ValidationError:
        raise errors.AnswerUseless from None
    prompt = " ".join(answer.animation_prompt.split())
    if not prompt:
        raise errors.AnswerUseless
    return prompt


def _without_fences(text: str) -> str:
    """What the first fenced block holds, else the text; each character is passed a few times."""
    _, _, rest = text.partition(_FENCE)
    inside, closing, _ = rest.partition(_FENCE)
    return inside.lstrip(ascii_letters).strip() if closing else text
