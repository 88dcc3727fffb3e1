"""The LLM's client against a sandbox and odd endpoints: one request, one leaf per situation."""

import json
import socket
import traceback
from typing import Any

import pytest

from activities.prompts import errors
from activities.prompts.llm import ANSWER_CHARACTERS_MAX, REPLY_SIZE_BYTES_MAX, Llm
from activities.prompts.questions import ANSWER_SCHEMA, Question, question_for
from tests.activities.prompts.conftest import (
    KEY,
    SCENE,
    SECRET_WORDS,
    STORY,
    LlmSandbox,
    a_completion,
    an_endpoint,
    chats,
    llm_settings,
    llm_url,
)

QUESTION = Question("Direct.", f"The scene: {SECRET_WORDS}")


async def answered(body: str, status: str = "200 OK") -> str:
    """What comes of a reply with this body."""
    async with an_endpoint(body, status) as url, Llm(llm_settings(url)) as llm:
        return await llm.animation_prompt(QUESTION)


async def failed(llm: Llm) -> errors.LlmError:
    """How the question fails."""
    with pytest.raises(errors.LlmError) as failure:
        await llm.animation_prompt(QUESTION)
    return failure.value


async def test_the_answer_is_the_animation_prompt(llm: Llm) -> None:
    prompt = await llm.animation_prompt(QUESTION)

    assert "duel" in prompt
    assert not prompt.startswith("{")


async def test_the_question_goes_out_once_with_model_schema_and_a_cap(
    llm: Llm, sandbox: LlmSandbox
) -> None:
    question = question_for(SCENE, STORY, duration_s=10, characters_max=2500)

    await llm.animation_prompt(question)

    (chat,) = await chats(sandbox)
    assert chat["model"] == "gpt-4.1-mini"
    assert chat["max_completion_tokens"] == 4096
    assert chat["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "animation", "strict": True, "schema": ANSWER_SCHEMA},
    }
    assert [message["role"] for message in chat["messages"]] == ["system", "user"]
    assert chat["messages"][1]["content"] == question.user
    assert not chat.get("stream")


@pytest.mark.parametrize(
    ("fault", "leaf"),
    [
        ({"kind": "status", "code": 429}, errors.Busy),
        ({"kind": "status", "code": 500}, errors.Unavailable),
        ({"kind": "status", "code": 503}, errors.Unavailable),
        ({"kind": "status", "code": 529}, errors.Unavailable),
        ({"kind": "status", "code": 408}, errors.Unavailable),
        ({"kind": "cut"}, errors.Unavailable),
        ({"kind": "status", "code": 401}, errors.KeyRefused),
        ({"kind": "status", "code": 403}, errors.KeyRefused),
        ({"kind": "status", "code": 402}, errors.CreditExhausted),
        ({"kind": "status", "code": 400}, errors.QuestionRejected),
        ({"kind": "status", "code": 404}, errors.QuestionRejected),
        ({"kind": "refusal"}, errors.AnswerRefused),
        ({"kind": "nonsense"}, errors.AnswerUseless),
        ({"kind": "nonsense", "text": " "}, errors.AnswerUseless),
        ({"kind": "nonsense", "text": '{"animation_prompt": " \\n"}'}, errors.AnswerUseless),
        ({"kind": "nonsense", "text": '{"animation_prompt": 7}'}, errors.AnswerUseless),
        ({"kind": "nonsense", "text": '{"prompt": "a duel"}'}, errors.AnswerUseless),
        ({"kind": "nonsense", "text": '["a duel"]'}, errors.AnswerUseless),
        ({"kind": "nonsense", "text": '{"animation_prompt": "a\\u0000"}'}, errors.AnswerUseless),
        ({"kind": "nonsense", "text": '{"animation_prompt": "\\ud800"}'}, errors.AnswerUseless),
        ({"kind": "malformed"}, errors.AnswerUseless),
    ],
    ids=str,
)
async def test_each_fault_is_one_leaf_and_one_request(
    llm: Llm, sandbox: LlmSandbox, fault: dict[str, Any], leaf: type[errors.LlmError]
) -> None:
    await sandbox.faults(chat=fault)

    error = await failed(llm)

    assert type(error) is leaf
    assert len(await chats(sandbox)) == 1


@pytest.mark.parametrize(
    ("retry_after", "wait_s"), [(3, 3.0), (86_400, 60.0), ("soon", None), (None, None)]
)
async def test_a_busy_endpoint_says_how_long_up_to_a_minute(
    llm: Llm, sandbox: LlmSandbox, retry_after: object, wait_s: float | None
) -> None:
    await sandbox.faults(chat={"kind": "status", "code": 429, "retry_after": retry_after})

    error = await failed(llm)

    assert isinstance(error, errors.Busy)
    assert error.retry_after_s == wait_s


async def test_a_slow_answer_is_not_waited_for(sandbox: LlmSandbox) -> None:
    await sandbox.faults(chat={"kind": "slow", "delay_s": 30})

    async with Llm(llm_settings(llm_url(sandbox), timeout_s=0.2)) as llm:
        error = await failed(llm)

    assert isinstance(error, errors.Unavailable)
    assert str(error) == "The LLM did not answer within 0.2 seconds."


async def test_an_endpoint_that_is_away_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    async with Llm(llm_settings(f"http://127.0.0.1:{port}/v1")) as llm:
        error = await failed(llm)

    assert isinstance(error, errors.Unavailable)


async def test_a_key_that_the_endpoint_refuses_is_told_apart(sandbox: LlmSandbox) -> None:
    async with Llm(llm_settings(llm_url(sandbox), api_key="refused")) as llm:
        assert isinstance(await failed(llm), errors.KeyRefused)


async def test_an_endpoint_of_ones_own_needs_no_key(sandbox: LlmSandbox) -> None:
    async with Llm(llm_settings(llm_url(sandbox), api_key=None)) as llm:
        assert await llm.animation_prompt(QUESTION)


async def test_a_proxy_of_the_environment_is_not_used(
    sandbox: LlmSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)

    async with Llm(llm_settings(llm_url(sandbox))) as llm:
        assert await llm.animation_prompt(QUESTION)


@pytest.mark.parametrize(
    "content",
    [
        '```json\n{"animation_prompt": "a duel"}\n```',
        'Here it is:\n```\n{"animation_prompt": " a \\n duel "}\n```\nEnjoy!',
        ' {"animation_prompt": "a duel", "why": 1} ',
    ],
)
async def test_fences_around_the_answer_are_taken_off(content: str) -> None:
    assert await answered(a_completion(content)) == "a duel"


@pytest.mark.parametrize(
    "body",
    [
        "<html>Welcome</html>",
        "",
        "null",
        "[]",
        "{}",
        '{"choices": []}',
        '{"choices": null}',
        '{"choices": [{"message": null}]}',
        '{"choices": [{"message": {"content": [1]}}]}',
        a_completion(None),
        a_completion(json.dumps({"animation_prompt": "x" * (ANSWER_CHARACTERS_MAX + 1)})),
        a_completion('{"animation_prompt": "a"}', padding="x" * REPLY_SIZE_BYTES_MAX),
        a_completion(json.dumps({"animation_prompt": "a", "why": "x" * ANSWER_CHARACTERS_MAX * 2})),
        a_completion('{"animation_prompt": "cut o', finish_reason="length"),
    ],
    ids=lambda body: body[:40],
)
async def test_a_reply_that_is_no_answer_is_of_no_use(body: str) -> None:
    with pytest.raises(errors.AnswerUseless):
        await answered(body)


@pytest.mark.parametrize(
    "content",
    [
        "```json" + " " * (REPLY_SIZE_BYTES_MAX - 1000),
        "```json" + " " * ANSWER_CHARACTERS_MAX,
    ],
    ids=["256-kB", "20-kB"],
)
async def test_a_fence_that_never_closes_holds_nobody_up(content: str) -> None:
    with pytest.raises(errors.AnswerUseless):
        await answered(a_completion(content))


async def test_a_content_filter_refuses() -> None:
    answer = a_completion('{"animation_prompt": "a"}', finish_reason="content_filter")
    rejected = json.dumps({"error": {"code": "content_filter", "message": "no"}})

    with pytest.raises(errors.AnswerRefused):
        await answered(answer)
    with pytest.raises(errors.AnswerRefused):
        await answered(rejected, "400 Bad Request")


async def test_an_empty_account_is_not_a_busy_endpoint() -> None:
    body = json.dumps({"error": {"code": "insufficient_quota", "message": "no more"}})

    with pytest.raises(errors.CreditExhausted):
        await answered(body, "429 Too Many Requests")


@pytest.mark.parametrize(
    "status", ["200 OK", "400 Bad Request", "401 Unauthorized", "429 Slow down", "500 Oh"]
)
async def test_neither_key_nor_question_nor_reply_is_in_an_error(status: str) -> None:
    body = json.dumps({"error": {"message": f"{KEY} asked {SECRET_WORDS} at https://x/?sig=1"}})

    with pytest.raises(errors.LlmError) as failure:
        await answered(body, status)

    error = failure.value
    shown = "".join([*traceback.format_exception(error), repr(error), repr(vars(error))])
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert [word for word in (KEY, SECRET_WORDS, "sig=") if word in shown] == []
