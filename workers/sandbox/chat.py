"""A chat endpoint in the OpenAI shape, good enough for a prompt step: always the same answer."""

import hashlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import JsonValue
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from workers.sandbox.faults import NonsenseFault, RefusalFault, RequestFault, StatusFault
from workers.sandbox.filling import filled
from workers.sandbox.records import new_id
from workers.sandbox.replies import Refusal, json_object, spoiled
from workers.sandbox.sandbox import sandbox_of

MODEL = "sandbox-writer"
WORDS_MAX = 24
_WORD = re.compile(r"[^\W\d_]{4,}")
_SHOTS = ("Slow push-in", "Gentle drift to the left", "Soft pull-back", "Low, rising crane shot")
_LIGHTS = ("warm evening light", "cool morning haze", "soft window light", "golden backlight")
_MOTIONS = (
    "hair and cloth stir in the air",
    "dust floats through the beam",
    "leaves sway far behind",
)


async def models(request: Request) -> Response:
    """`GET /v1/models`."""
    del request
    model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "sandbox"}
    return JSONResponse({"object": "list", "data": [model]})


async def complete(request: Request) -> Response:
    """`POST /v1/chat/completions`, without streaming."""
    sandbox = sandbox_of(request)
    try:
        body = await _checked_body(request)
    except Refusal as refusal:
        return _error(refusal.http_status, refusal.message)
    sandbox.store.add_chat(body)
    text = json.dumps(body, ensure_ascii=False)
    fault = sandbox.board.take("chat", RequestFault, text)
    if fault and (reply := await _spoiled(fault)):
        return reply
    refusal = sandbox.board.take("chat", RefusalFault, text)
    nonsense = sandbox.board.take("chat", NonsenseFault, text)
    if refusal:
        return _completion(body, content=None, refusal=refusal.message)
    return _completion(body, content=nonsense.text if nonsense else answer(body), refusal=None)


def answer(body: Mapping[str, Any]) -> str:
    """The assistant's text: an animation prompt, wrapped in JSON where a schema is asked for."""
    prompt = animation_prompt(_last_user_text(body["messages"]))
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        return json.dumps(filled(wanted["json_schema"]["schema"], prompt), ensure_ascii=False)
    if wanted.get("type") == "json_object":
        return json.dumps({"prompt": prompt}, ensure_ascii=False)
    return prompt


def animation_prompt(message: str) -> str:
    """One sentence of camera, light and motion around words of the message."""
    digest = hashlib.sha256(message.encode()).digest()
    words = list(dict.fromkeys(word.lower() for word in _WORD.findall(message)))
    subject = " ".join(words[:WORDS_MAX]) or "the subject"
    shot = _SHOTS[digest[0] % len(_SHOTS)]
    light = _LIGHTS[digest[1] % len(_LIGHTS)]
    motion = _MOTIONS[digest[2] % len(_MOTIONS)]
    return f"{shot} on {subject}; {light}, {motion}, steady cinematic pace, natural movement."


async def _checked_body(request: Request) -> dict[str, Any]:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or key.strip() in ("", "refused"):
        raise Refusal(401, "the API key is missing or not valid")
    body = await json_object(request)
    if not isinstance(body.get("messages"), list):
        raise Refusal(400, "'messages' must be a list")
    if body.get("stream"):
        raise Refusal(400, "streaming is not supported")
    return body


def _last_user_text(messages: Sequence[Mapping[str, Any]]) -> str:
    for message in reversed(messages):
        if message.get("role") == "user":
            content = message.get("content") or ""
            if isinstance(content, str):
                return content
            return " ".join(str(part.get("text", "")) for part in content)
    return ""


async def _spoiled(fault: RequestFault) -> Response | None:
    if not isinstance(fault, StatusFault):
        return await spoiled(fault)
    return _error(fault.code, fault.message, fault.headers)


def _completion(body: Mapping[str, Any], *, content: str | None, refusal: str | None) -> Response:
    asked = len(json.dumps(body["messages"])) // 4
    answered = len(content or refusal or "") // 4
    message: dict[str, JsonValue] = {"role": "assistant", "content": content, "refusal": refusal}
    return JSONResponse(
        {
            "id": f"chatcmpl-{new_id()}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body.get("model") or MODEL,
            "choices": [
                {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
            ],
            "usage": {
                "prompt_tokens": asked,
                "completion_tokens": answered,
                "total_tokens": asked + answered,
            },
        }
    )


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    kinds = {401: "invalid_api_key", 429: "rate_limit_exceeded"}
    otherwise = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request"
    kind = kinds.get(status, otherwise)
    error = {"message": message, "type": kind, "param": None, "code": kind}
    return JSONResponse({"error": error}, status, headers)
