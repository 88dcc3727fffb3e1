"""schemathesis asks every route of the OpenAPI document for what it says, and for what it does not.

It runs as its own process, as somebody elsewhere would run it, against the API over HTTP: examples,
the edges of every schema, drawn requests that fit or break them, and ways through several routes.
Half of the ids that it asks for are there. It knows the document alone; how it is set is in
`document.toml`.
"""

import asyncio
import json
import logging
import os
import sys
import time
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from activities.provider.webhooks import webhook_url
from starter.api.links import Grant, token_of
from starter.api.rates import Rates
from tests.starter.api.conftest import Api, api_of
from tests.starter.api.products import Product, a_product, a_user
from tests.starter.api.shelves import filed
from tests.starter.conftest import ROOT, SPEECH, clean_environment

# Drawn requests for each route; beside them are some 4,500 that try the edges of its schema.
EXAMPLES = 300 if os.environ.get("STILLMOTION_EVIDENCE") == "1" else 25

# Python only, and a minute of it.
pytestmark = [pytest.mark.slow, pytest.mark.tools(), pytest.mark.timeout(900)]

VIDEOS = 12
"""Some of them are deleted on the way."""

NEVER_WELL = {
    # Nobody but the provider can sign what it takes.
    "POST /v1/provider/webhooks/{generation_id}/{token}": 401,
    # Nothing is unresolved, and no worker is there to decide it.
    "POST /v1/generations/{generation_id}/resolve": 409,
}
"""Routes that answer nobody here by a success, and the status that shows how far a request came."""

UNTOLD = {"GET /livez", "GET /readyz"}
"""They stand in no log."""


class Tried(NamedTuple):
    """What schemathesis made of the API."""

    code: int
    told: str
    """Its report for people."""
    report: dict[str, Any]
    answers: dict[str, set[int]]
    """The statuses that each route gave, as the API's log tells them."""
    routes: list[str]
    """What stands in the document."""


@pytest.fixture(scope="module")
async def tried(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Tried:
    # What it sends without a key counts against this address, where other tests come from, too.
    parts = replace(api.parts, rates=Rates())
    folder = tmp_path_factory.mktemp("document")
    async with api_of(parts) as origin, a_product(api, origin=origin) as product:
        user = a_user()
        known = await ids_of(api, product, user)
        with answers_of(logging.getLogger("starter.api.replies")) as answers:
            code, told = await run_schemathesis(folder, product, user, known)
        document = (await product.get("/v1/openapi.json", user)).json()
    report = json.loads((folder / "report.json").read_text())
    routes = [
        f"{method.upper()} {path}" for path, each in document["paths"].items() for method in each
    ]
    return Tried(code, told, report, answers, routes)


async def ids_of(api: Api, product: Product, user: str) -> dict[str, list[str]]:
    """Ids of what a user has, by the dictionaries that `document.toml` names."""
    await api.stack.database.execute(
        "INSERT INTO subscriptions (user_id, plan) VALUES ($1, 'enterprise')", user
    )
    started = [(await product.started(user))["generation_id"] for _ in range(3)]
    videos = [await filed(api, user) for _ in range(VIDEOS)]
    ended = [video.generation_id for video in videos]
    picture, sound = await product.uploaded(user), await product.uploaded(user, SPEECH, "audio")
    batch = await product.post("/v1/batches", user, json={"items": [await product.wish(user)]})
    kept = await filed(api, a_user())
    ends_at_s = int(time.time()) + 3600
    kinds = ("content", "poster")
    return {
        "generations": [*started, *ended],
        "ended": ended,
        "batches": [batch.json()["batch_id"]],
        "assets": [video.asset_id for video in videos],
        "pictures": [picture["media_id"]],
        "sounds": [sound["media_id"]],
        "tokens": [token_of(api.hash_key, Grant(kept.asset_id, kind, ends_at_s)) for kind in kinds],
        "told": started[:1],
        "tellings": [webhook_url(product.origin, api.hash_key, started[0]).rpartition("/")[2]],
    }


async def run_schemathesis(
    folder: Path, product: Product, user: str, known: dict[str, list[str]]
) -> tuple[int, str]:
    """Its exit code and what it says, after all of its phases."""
    config, own = folder / "document.toml", Path(__file__).with_name("document.toml")
    named = [f"{name}.values = {json.dumps(values)}" for name, values in known.items()]
    config.write_text("\n".join([own.read_text(), "[dictionaries]", *named, ""]))
    sent = product.holder.headers(user)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"),
        *(f"{product.origin}/v1/openapi.json", "--max-examples", str(EXAMPLES), "--no-color"),
        *("--report-json-path", str(folder / "report.json")),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
        env=clean_environment(
            PYTHONPATH=str(ROOT),
            STILLMOTION_TRIED_KEY=sent["Authorization"],
            STILLMOTION_TRIED_USER=sent["Stillmotion-User"],
        ),
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(errors="replace")


@contextmanager
def answers_of(log: logging.Logger) -> Generator[dict[str, set[int]]]:
    """What is answered for the time of the block: the statuses by method and path."""
    answers: defaultdict[str, set[int]] = defaultdict(set)

    class Answers(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            assert isinstance(record.args, tuple)
            method, path, status, *_ = record.args
            assert isinstance(status, int)
            answers[f"{method} {str(path).replace(':path}', '}')}"].add(status)

    handler, level = Answers(), log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield answers
    finally:
        log.setLevel(level)
        log.removeHandler(handler)


async def test_every_route_answers_as_its_document_says(tried: Tried) -> None:
    operations = tried.report["operations"]

    assert tried.code == 0, tried.told
    assert operations["tested"] == operations["total"] == len(tried.routes)
    assert tried.report["failures"] == []


async def test_no_answer_is_a_fault_of_ours(tried: Tried) -> None:
    faults = {name: max(found) for name, found in tried.answers.items() if max(found) >= 500}

    assert faults == {}


async def test_every_route_was_asked_for_what_there_is(tried: Tried) -> None:
    wanted = {name: NEVER_WELL.get(name) for name in tried.routes}

    missed = {
        name: sorted(tried.answers.get(name, ()))
        for name, status in wanted.items()
        if name not in UNTOLD
        and not any(found == status or found < 300 for found in tried.answers.get(name, ()))
    }

    assert missed == {}
