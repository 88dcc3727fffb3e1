"""Everything that can go wrong with the LLM, one leaf per situation.

    LlmError
    ├── NotNow                another try may go better, after `retry_after_s`
    │   ├── Busy              429
    │   └── Unavailable       5xx, a timeout, a cut connection
    ├── KeyRefused            401, 403
    ├── CreditExhausted       402, or a 429 whose code says that the account is empty
    ├── QuestionRejected      another 4xx: an unknown model, an endpoint without JSON schemas
    ├── AnswerRefused         the model or its content filter declines
    └── AnswerUseless         not JSON, blank, cut off, no text that can be stored

A message is one sentence for anyone: never the key, the question or the endpoint's own words. None
of these is the user's fault, and a 429 says nothing of a user's quota: whoever has scene and story
makes the prompt by rule (`rules`).
"""

from typing import ClassVar


class LlmError(Exception):
    """No prompt came of the question. Catch the leaves, or `NotNow` to ask again."""

    sentence: ClassVar[str] = "The LLM gave no prompt."

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.sentence)


class NotNow(LlmError):
    """Ask again later; after a few tries a rule should make the prompt.

    Attributes:
        retry_after_s: how long the endpoint asks us to wait, at most `RETRY_AFTER_S_MAX`; None
            where it didn't say.
    """

    def __init__(self, message: str | None = None, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Busy(NotNow):
    """The endpoint limits our rate."""

    sentence = "The LLM is busy."


class Unavailable(NotNow):
    """The endpoint is down, can't be reached, or takes too long."""

    sentence = "The LLM is not available."


class KeyRefused(LlmError):
    """Set the right OPENAI_API_KEY, or one that may use STILLMOTION_LLM_MODEL."""

    sentence = "The LLM refuses our key."


class CreditExhausted(LlmError):
    """Top the LLM account up."""

    sentence = "The LLM account has no credit left."


class QuestionRejected(LlmError):
    """Check STILLMOTION_LLM_MODEL and OPENAI_BASE_URL; the model must answer by JSON schema."""

    sentence = "The LLM does not take our question."


class AnswerRefused(LlmError):
    """The model declines; it would decline the same story again."""

    sentence = "The LLM refused."


class AnswerUseless(LlmError):
    """The answer is not what was asked for."""

    sentence = "The LLM's answer was of no use."
