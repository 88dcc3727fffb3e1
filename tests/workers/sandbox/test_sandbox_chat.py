"""The chat endpoint, through the OpenAI client where it matters and raw where it must go wrong."""

import json

import httpx
import pytest

from tests.workers.sandbox.conftest import Provider
from workers.sandbox.filling import filled

SCENE = "An old lighthouse above a stormy harbour while gulls circle"


async def ask(sandbox: Provider, message: str = SCENE, **more: object) -> httpx.Response:
    messages = [
        {"role": "system", "content": "You write prompts."},
        {"role": "user", "content": "ignore this one"},
        {"role": "assistant", "content": "as you wish"},
        {"role": "user", "content": message},
        {"role": "assistant", "content": "and this one"},
    ]
    body = {"model": "gpt-x", "messages": messages, **more}
    return await sandbox.http.post(f"{sandbox.llm}/chat/completions", json=body)


async def content(sandbox: Provider, message: str = SCENE, **more: object) -> str:
    reply = await ask(sandbox, message, **more)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["choices"][0]["message"]["content"])


async def test_the_answer_is_made_of_the_last_message_and_always_the_same(
    sandbox: Provider,
) -> None:
    first, second = await content(sandbox), await content(sandbox)
    other = await content(sandbox, "A red balloon over Paris")

    assert first == second != other
    assert {"lighthouse", "stormy", "harbour"} <= set(first.split())
    assert not {"ignore", "wish", "this"} & set(first.split())


async def test_the_reply_has_the_shape_that_clients_read(sandbox: Provider) -> None:
    reply = (await ask(sandbox)).json()

    assert (reply["object"], reply["model"]) == ("chat.completion", "gpt-x")
    assert reply["choices"][0]["finish_reason"] == "stop"
    usage = reply["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0


async def test_parts_of_a_message_are_read_too(sandbox: Provider) -> None:
    parts = [{"type": "text", "text": "a lighthouse"}, {"type": "text", "text": "at midnight"}]

    body = {"messages": [{"role": "user", "content": parts}]}
    reply = await sandbox.http.post(f"{sandbox.llm}/chat/completions", json=body)

    text = reply.json()["choices"][0]["message"]["content"]
    assert "lighthouse" in text
    assert "midnight" in text


async def test_a_json_schema_is_filled(sandbox: Provider) -> None:
    schema = {
        "type": "object",
        "properties": {"prompt": {"type": "string"}, "score": {"type": "number"}},
    }
    asked = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}

    answer = json.loads(await content(sandbox, response_format=asked))

    assert "lighthouse" in answer["prompt"]
    assert isinstance(answer["score"], float)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "text"),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "enum": ["low", "high"]}, "low"),
        ({"type": ["string", "null"]}, "text"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 1),
        ({"type": "number", "minimum": 3}, 3),
        ({"type": "integer", "maximum": 0}, 0),
        ({"type": "boolean"}, True),
        ({"type": "array", "items": {"type": "string"}, "minItems": 2}, ["text", "text"]),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"const": 7}}}, 7),
        ({"properties": {"a": {"type": "null"}}}, {"a": None}),
    ],
)
def test_a_schema_of_any_simple_kind_is_filled(schema: dict[str, object], value: object) -> None:
    assert filled(schema, "text") == value


async def test_models_are_listed(sandbox: Provider) -> None:
    reply = await sandbox.http.get(f"{sandbox.llm}/models")

    assert [each["object"] for each in reply.json()["data"]] == ["model"]


async def test_a_missing_key_and_a_stream_are_refused_in_the_openai_shape(
    sandbox: Provider,
) -> None:
    async with httpx.AsyncClient(trust_env=False, verify=False) as http:
        no_key = await http.post(f"{sandbox.llm}/chat/completions", json={"messages": []})
    stream = await ask(sandbox, stream=True)

    assert no_key.status_code == 401
    assert no_key.json()["error"]["code"] == "invalid_api_key"
    assert stream.status_code == 400


async def test_a_chat_fails_as_told(sandbox: Provider) -> None:
    await sandbox.faults(
        chat=[
            {"kind": "status", "code": 429, "retry_after": 3, "times": 1},
            {"kind": "status", "code": 500, "times": 1},
            {"kind": "malformed", "times": 1},
            {"kind": "cut", "times": 1},
        ]
    )

    limited, broken, malformed = await ask(sandbox), await ask(sandbox), await ask(sandbox)
    with pytest.raises(httpx.RemoteProtocolError):
        await ask(sandbox)

    assert (limited.status_code, limited.headers["retry-after"]) == (429, "3")
    assert limited.json()["error"]["code"] == "rate_limit_exceeded"
    assert broken.status_code == 500
    assert malformed.status_code == 200
    assert not malformed.text.endswith("}")
    assert (await ask(sandbox)).status_code == 200


async def test_a_chat_refuses_or_talks_nonsense_as_told(sandbox: Provider) -> None:
    await sandbox.faults(chat={"kind": "refusal"})
    refused = (await ask(sandbox)).json()["choices"][0]["message"]
    await sandbox.faults(chat={"kind": "nonsense", "match": "lighthouse"})

    assert refused["content"] is None
    assert refused["refusal"]
    assert (await content(sandbox)).startswith("blorp")
    assert not (await content(sandbox, "A balloon")).startswith("blorp")


async def test_the_log_keeps_the_bodies_of_chats(sandbox: Provider) -> None:
    await ask(sandbox, temperature=0.3)

    (chat,) = (await sandbox.log())["chats"]
    assert chat["messages"][-2]["content"] == SCENE
    assert chat["temperature"] == 0.3
