"""Everything that is left when all is quiet: rows, the provider's log and bills, files, promises.

It is read once; the checks are pure functions of it. Nothing of the code under test is asked, but
for ids and the form of keys.
"""

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import httpx

from activities.database.statements import statements
from tests.chaos.rig import Rig
from workflows.contracts.ids import generation_digest
from workflows.contracts.stages import TERMINAL, Stage

SQL = statements("tests.chaos", "evidence.sql")
READ = ("generations", "holds", "balances", "spending", "assets", "batches")
OUTPUTS = ("outputs", "posters")

Row = Mapping[str, Any]


class Prediction(NamedTuple):
    """A job at the provider."""

    id: str
    status: str
    faults: tuple[str, ...]
    generation_id: str | None
    """Whose staged files it was made of, by their names; None where they are nobody's."""


@dataclass(frozen=True)
class Evidence:
    """What is left; money in micro-USD."""

    generations: dict[str, Row]
    holds: dict[str, Row]
    balances: list[Row]
    spending: list[Row]
    assets: dict[str, list[Row]]
    """By generation: there may be only one, which is for the checks to say."""
    batches: dict[str, str]
    predictions: dict[str, Prediction]
    billed: dict[str, int]
    """By prediction: what the provider charged and did not give back."""
    charged: dict[str, int]
    """By prediction: what it charged at first."""
    files: dict[str, str]
    """Key → SHA-256 of every output and poster in the store."""
    half_written: int
    """Files that a killed writer left behind; no key can have their names."""
    promises: list[tuple[str, str]]
    """Key and id of whatever a client has printed."""
    is_swept: bool = False
    """Whether the sweeper has run since, so that every bill was read."""

    def predictions_of(self, generation_id: str) -> list[Prediction]:
        """Every job that was ever made of this generation's files."""
        return [each for each in self.predictions.values() if each.generation_id == generation_id]

    def stage(self, generation_id: str) -> Stage:
        """Where it is."""
        return Stage(self.generations[generation_id]["stage"])

    @property
    def ended(self) -> set[str]:
        """Ids of all that have ended."""
        return {each for each in self.generations if self.stage(each) in TERMINAL}


async def gather(rig: Rig, promises: list[tuple[str, str]], *, is_swept: bool = False) -> Evidence:
    """Read what is left of a run whose workers are idle."""
    connection = await asyncpg.connect(rig.address.database)
    try:
        rows = [await _rows(connection, SQL[name]) for name in READ]
    finally:
        await connection.close()
    generations, holds, balances, spending, saved, batches = rows
    assets: defaultdict[str, list[Row]] = defaultdict(list)
    for row in saved:
        assets[row["generation_id"]].append(row)
    charged, billed = await _bills(rig)
    files, half_written = await asyncio.to_thread(_files, rig.media)
    return Evidence(
        generations={row["generation_id"]: row for row in generations},
        holds={row["generation_id"]: row for row in holds},
        balances=balances,
        spending=spending,
        assets=dict(assets),
        batches={row["batch_id"]: row["state"] for row in batches},
        predictions=_predictions(await rig.stack.log(), generations),
        billed=billed,
        charged=charged,
        files=files,
        half_written=half_written,
        promises=promises,
        is_swept=is_swept,
    )


async def _rows(connection: Any, query: str) -> list[Row]:
    return [dict(record) for record in await connection.fetch(query)]


def _predictions(log: dict[str, Any], generations: list[Row]) -> dict[str, Prediction]:
    """Staged files are named by their generation's digest, whichever staging made them."""
    by_digest = {generation_digest(row["generation_id"]): row for row in generations}
    found: dict[str, Prediction] = {}
    for row in log["predictions"]:
        text = json.dumps(row["input"])
        owners = [made["generation_id"] for digest, made in by_digest.items() if digest in text]
        owner = owners[0] if len(owners) == 1 else None
        found[row["id"]] = Prediction(row["id"], row["status"], tuple(row["faults"]), owner)
    return found


async def _bills(rig: Rig) -> tuple[dict[str, int], dict[str, int]]:
    """The provider's own books, as a customer reads them: charges, and what is left of them."""
    charged: defaultdict[str, int] = defaultdict(int)
    net: defaultdict[str, int] = defaultdict(int)
    now = datetime.now(UTC)
    async with httpx.AsyncClient(trust_env=False) as http:
        for page in range(1, 1000):
            reply = await http.post(
                f"{rig.address.provider}/billings/search",
                headers={"Authorization": "Bearer sandbox"},
                json={
                    "page": page,
                    "page_size": 100,
                    "start_time": (now - timedelta(days=1)).isoformat(),
                    "sort": "created_at ASC",
                },
            )
            data = reply.raise_for_status().json()["data"]
            for row in data["items"]:
                prediction, amount = row["prediction"]["uuid"], abs(int(row["price"]))
                is_refund = row["billing_type"] == "refund"
                net[prediction] += -amount if is_refund else amount
                charged[prediction] += 0 if is_refund else amount
            if page * 100 >= data["total"]:
                break
    return dict(charged), dict(net)


def _files(media: Path) -> tuple[dict[str, str], int]:
    found: dict[str, str] = {}
    half_written = 0
    for folder in OUTPUTS:
        for path in (media / folder).rglob("*"):
            if "#" in path.name:
                half_written += 1
            elif path.is_file():
                key = path.relative_to(media).as_posix()
                found[key] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found, half_written
