"""Scripts of what activities say: the workflow is real, the world is not."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar

from pydantic import BaseModel
from temporalio import activity
from temporalio.exceptions import ApplicationError

from workflows.contracts.activities import (
    Booked,
    Close,
    InputsStaged,
    PredictionEnd,
    PromptBuilt,
    Reserve,
    Saved,
    Submitted,
    Withdrawn,
)
from workflows.contracts.callbacks import Delivery, GivenUp
from workflows.contracts.failures import FailureKind, failure
from workflows.contracts.media import VideoFacts
from workflows.contracts.quoting import Quote
from workflows.contracts.requests import Operation, Source
from workflows.contracts.results import StoredVideo
from workflows.contracts.sweeps import Swept
from workflows.contracts.terms import Terms

T = TypeVar("T", bound=BaseModel)
Play = Callable[[Any], Awaitable[BaseModel]]
Answer = BaseModel | BaseException | Play

PREDICTION = "0123456789abcdef0123456789abcdef"
PROMPT = "The boats rock gently while the sun goes down"
MODEL = "alibaba/wan-2.5/image-to-video"
HELD = "$0.50 stays reserved."
CLOSED = Booked(cost_usd_micros=0, money="Nothing was charged.")
TO_BE_TOLD = CLOSED.model_copy(update={"callback": True})
"""What the ledger says of a request that has a callback_url."""

VIDEO = StoredVideo(
    key="videos/ab/cd.mp4",
    poster_key="posters/ab/cd.jpg",
    facts=VideoFacts(
        size_bytes=812_345,
        sha256="ab" * 32,
        duration_s=5.04,
        width=1280,
        height=720,
        codec="h264",
        frames=121,
    ),
    warnings=("It is 0.04 s longer than asked.",),
)


_INPUTS: dict[Operation, dict[str, Any]] = {
    Operation.IMAGE_TO_VIDEO: {"prompt": PROMPT},
    Operation.SCENE_ANIMATION: {"scene": {"scene_number": 3, "title": PROMPT}},
    Operation.TALKING_AVATAR: {"audio": {"media_id": "med_" + "b" * 26}},
}


def a_request(
    operation: Operation = Operation.IMAGE_TO_VIDEO, /, **changes: object
) -> dict[str, Any]:
    """The JSON of a request that is fine."""
    return {
        "user_id": "ada",
        "source": "video_studio",
        "image": {"media_id": "med_" + "a" * 26},
        **_INPUTS[operation],
        **changes,
    }


def terms_of(
    generation_id: str,
    *,
    deadline_s: int = 600,
    operation: Operation = Operation.IMAGE_TO_VIDEO,
    callback: bool = False,
    local_steps: bool = False,
) -> Terms:
    return Terms(
        generation_id=generation_id,
        operation=operation,
        source=Source.VIDEO_STUDIO,
        user_hash="5f" * 16,
        provider="sandbox",
        base_url="http://127.0.0.1:4010/api/v3",
        key_fingerprint="0123456789ab",
        provider_path=MODEL,
        parameters={"duration": 5, "resolution": "720p", "seed": -1},
        quote=Quote(
            model=MODEL,
            catalogue_version="2026-08",
            cost_usd_micros=500_000,
            duration_s=5,
            resolution="720p",
            width=1280,
            height=720,
            deadline_s=deadline_s,
            expected_s=60,
        ),
        reserved_at=datetime(2026, 11, 22, 12, tzinfo=UTC),
        callback=callback,
        local_steps=local_steps,
    )


def _terms_for(task: Reserve) -> Terms:
    """What a reservation answers; of what was claimed before, an image-to-video's."""
    if task.request is None:
        return terms_of(task.generation_id)
    return terms_of(
        task.generation_id,
        operation=task.request.operation,
        callback=task.request.callback_url is not None,
    )


def refused(
    kind: FailureKind, message: str = "It is refused.", *, wait: timedelta | None = None
) -> ApplicationError:
    """An error as the activities' boundary raises it, for good."""
    return ApplicationError(
        message,
        failure(kind, message).model_dump(mode="json"),
        type=kind.value,
        non_retryable=True,
        next_retry_delay=wait,
    )


class Gate:
    """An activity that is under way until the test opens it; its heartbeats let a cancel in.

    `outlasts` as `provider.submit` does: it sees the cancel, and goes on.
    """

    def __init__(self, answer: BaseModel | BaseException, *, outlasts: bool = False) -> None:
        self._answer = answer
        self._outlasts = outlasts
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, _: object) -> BaseModel:
        self.entered.set()
        while not self.opened.is_set():
            try:
                activity.heartbeat()
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                self.cancelled.set()
                if not self._outlasts:
                    raise
        return given(self._answer)


def given(answer: BaseModel | BaseException) -> BaseModel:
    if isinstance(answer, BaseException):
        # The same error may be raised again and again: its traceback must not grow.
        raise answer.with_traceback(None)
    return answer


class Script:
    """What the activities of one generation answer, and the record of what they were asked."""

    def __init__(self) -> None:
        self._answers: dict[str, list[Answer]] = defaultdict(list)
        self.asked: list[tuple[str, BaseModel]] = []

    def on(self, name: str, *answers: Answer) -> Self:
        """Answer `name` with these in turn; the last one again and again."""
        self._answers[name] += answers
        return self

    @property
    def calls(self) -> list[str]:
        """The activities in the order of their calls."""
        return [name for name, _ in self.asked]

    def count(self, name: str) -> int:
        return self.calls.count(name)

    def last(self, name: str, kind: type[T]) -> T:
        """What `name` was asked last."""
        task = [task for asked, task in self.asked if asked == name][-1]
        assert isinstance(task, kind)
        return task

    def closed(self) -> tuple[FailureKind, str]:
        """Why the ledger closed it, and what that does to the money; exactly one close."""
        assert self.count("ledger.close") == 1
        task = self.last("ledger.close", Close)
        return task.failure.kind, task.settle

    async def play(self, name: str, task: BaseModel) -> BaseModel:
        self.asked.append((name, task))
        scripted = self._answers[name]
        if not scripted:
            return _USUAL[name](task)
        answer = scripted.pop(0) if len(scripted) > 1 else scripted[0]
        return (
            given(answer) if isinstance(answer, BaseModel | BaseException) else await answer(task)
        )

    def open_gates(self) -> None:
        """Let every activity end that still waits for the test."""
        for answers in self._answers.values():
            for answer in answers:
                if isinstance(answer, Gate):
                    answer.opened.set()


_USUAL: dict[str, Callable[[Any], BaseModel]] = {
    "ledger.reserve": _terms_for,
    "ledger.record_usage": lambda _: Booked(cost_usd_micros=500_000, money="$0.50 was booked."),
    "ledger.close": lambda _: CLOSED,
    "ledger.park": lambda _: Booked(cost_usd_micros=0, money=HELD),
    "prompts.build_prompt": lambda _: PromptBuilt(prompt_by="caller"),
    "provider.stage_inputs": lambda _: InputsStaged(inputs=1),
    "provider.submit": lambda _: Submitted(prediction_id=PREDICTION),
    "provider.poll": lambda _: PredictionEnd(state="completed"),
    "provider.check": lambda _: PredictionEnd(state="running"),
    "provider.withdraw": lambda _: Withdrawn(state="deleted"),
    "media.download": lambda _: VIDEO,
    "library.save": lambda _: Saved(asset_id="ast_" + "b" * 26),
    "callbacks.deliver": lambda _: Delivery(state="done", delivered_seq=10),
    "callbacks.give_up": lambda _: GivenUp(untold=3),
    "sweeping.restart_gone": lambda _: Swept(),
    "sweeping.read_bills": lambda _: Swept(),
    "sweeping.find_strays": lambda _: Swept(),
    "sweeping.tidy_media": lambda _: Swept(),
    "sweeping.audit": lambda _: Swept(),
    "sweeping.record": lambda _: Swept(),
}
