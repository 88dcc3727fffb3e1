"""The state of a sandbox in one SQLite file: what was written is there after a SIGKILL."""

import json
import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.resources import files
from pathlib import Path

from pydantic import JsonValue

from workers.sandbox.records import Bill, Prediction, Upload

_Value = str | float | None
_Values = Sequence[_Value] | Mapping[str, _Value]
_LISTED = """
    FROM predictions
    WHERE status <> 'deleted'
      AND created_at >= :after AND created_at <= :before
      AND (:model IS NULL OR model = :model)
      AND (:status IS NULL OR status = :status OR (:status = 'processing' AND status = 'created'))
"""
_BILLED = """
    FROM bills
    WHERE created_at >= :after AND created_at <= :before
      AND (:kind IS NULL OR kind = :kind)
      AND (:ids IS NULL OR prediction_id IN (SELECT value FROM json_each(:ids)))
"""


class Store:
    """Synchronous and used by one event loop: each call takes well under a millisecond."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        schema = files("workers.sandbox").joinpath("schema.sql").read_text(encoding="utf-8")
        self._connection.executescript(schema)

    def close(self) -> None:
        """Closes the file; the store can't be used any more."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Generator[None]:
        """What is written inside is there together or not at all."""
        self._connection.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def save_prediction(self, prediction: Prediction) -> Prediction:
        """Writes the whole row and returns it."""
        self._connection.execute(
            "INSERT OR REPLACE INTO predictions VALUES (?, ?, ?, ?, ?)",
            (
                prediction.id,
                prediction.model,
                prediction.status,
                prediction.created_at.timestamp(),
                prediction.model_dump_json(),
            ),
        )
        return prediction

    def prediction(self, prediction_id: str) -> Prediction | None:
        """The prediction with this id."""
        rows = self._rows("SELECT document FROM predictions WHERE id = ?", (prediction_id,))
        return Prediction.model_validate_json(rows[0]["document"]) if rows else None

    def all_predictions(self) -> list[Prediction]:
        """Every prediction, the oldest first."""
        rows = self._rows("SELECT document FROM predictions ORDER BY created_at, rowid", ())
        return [Prediction.model_validate_json(row["document"]) for row in rows]

    def predictions(
        self,
        *,
        after: datetime,
        before: datetime,
        model: str | None = None,
        status: str | None = None,
        page: tuple[int, int],
    ) -> tuple[list[Prediction], int]:
        """A page (offset, length) of the matches, the newest first, and how many there are."""
        found = {
            "after": after.timestamp(),
            "before": before.timestamp(),
            "model": model,
            "status": status,
            "offset": page[0],
            "limit": page[1],
        }
        rows = self._rows(
            f"SELECT document {_LISTED} ORDER BY created_at DESC, rowid DESC"
            " LIMIT :limit OFFSET :offset",
            found,
        )
        total = self._rows(f"SELECT count(*) AS n {_LISTED}", found)[0]["n"]
        return [Prediction.model_validate_json(row["document"]) for row in rows], int(total)

    def save_upload(self, upload: Upload) -> Upload:
        """Writes the whole row and returns it."""
        self._connection.execute(
            "INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?, ?)",
            (
                upload.id,
                upload.sha256,
                upload.size_bytes,
                upload.content_type,
                upload.model_dump_json(),
            ),
        )
        return upload

    def upload(self, upload_id: str) -> Upload | None:
        """The upload with this id, filled or only announced."""
        rows = self._rows("SELECT document FROM uploads WHERE id = ?", (upload_id,))
        return Upload.model_validate_json(rows[0]["document"]) if rows else None

    def uploads_like(self, *, size_bytes: int, content_type: str) -> list[Upload]:
        """Uploads of this size and type, the oldest first."""
        rows = self._rows(
            "SELECT document FROM uploads WHERE size_bytes = ? AND content_type = ? ORDER BY rowid",
            (size_bytes, content_type),
        )
        return [Upload.model_validate_json(row["document"]) for row in rows]

    def add_bill(self, bill: Bill) -> None:
        """Adds a row to the bills."""
        self._connection.execute(
            "INSERT INTO bills VALUES (?, ?, ?, ?, ?, ?)",
            (
                bill.id,
                bill.prediction_id,
                bill.kind,
                bill.created_at.timestamp(),
                bill.price_usd_micros,
                bill.model_dump_json(),
            ),
        )

    def bills(
        self,
        *,
        after: datetime,
        before: datetime,
        kind: str | None = None,
        prediction_ids: list[str] | None = None,
        newest_first: bool = True,
    ) -> list[Bill]:
        """The matching bills."""
        order = "DESC" if newest_first else "ASC"
        rows = self._rows(
            f"SELECT document {_BILLED} ORDER BY created_at {order}, rowid {order}",
            {
                "after": after.timestamp(),
                "before": before.timestamp(),
                "kind": kind,
                "ids": json.dumps(prediction_ids) if prediction_ids else None,
            },
        )
        return [Bill.model_validate_json(row["document"]) for row in rows]

    def spent_usd_micros(self) -> int:
        """Charges less refunds."""
        sums = "SELECT kind, sum(price_usd_micros) AS n FROM bills GROUP BY kind"
        by_kind = {str(row["kind"]): int(row["n"]) for row in self._rows(sums, ())}
        return by_kind.get("deduct", 0) - by_kind.get("refund", 0)

    def count(self, name: str) -> None:
        """Adds one to a counter."""
        self._connection.execute(
            "INSERT INTO counters VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1",
            (name,),
        )

    def counters(self) -> dict[str, int]:
        """Every counter by its name."""
        rows = self._rows("SELECT name, value FROM counters ORDER BY name", ())
        return {str(row["name"]): int(row["value"]) for row in rows}

    def add_chat(self, body: JsonValue) -> None:
        """Records the body of a chat request."""
        self._connection.execute("INSERT INTO chats (document) VALUES (?)", (json.dumps(body),))

    def chats(self) -> list[JsonValue]:
        """The bodies of all chat requests, the oldest first."""
        rows = self._rows("SELECT document FROM chats ORDER BY seq", ())
        return [json.loads(row["document"]) for row in rows]

    def note(self, name: str) -> str | None:
        """A single kept value."""
        rows = self._rows("SELECT value FROM notes WHERE name = ?", (name,))
        return str(rows[0]["value"]) if rows else None

    def save_note(self, name: str, value: str) -> None:
        """Keeps a single value."""
        self._connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def _rows(self, sql: str, values: _Values) -> list[sqlite3.Row]:
        return self._connection.execute(sql, values).fetchall()
