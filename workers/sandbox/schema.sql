-- The state of one sandbox. Rows are documents; what is searched stands in columns beside them.

CREATE TABLE IF NOT EXISTS predictions (
    id         TEXT PRIMARY KEY,
    model      TEXT NOT NULL,
    status     TEXT NOT NULL,
    created_at REAL NOT NULL,
    document   TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS predictions_by_age ON predictions (created_at);

CREATE TABLE IF NOT EXISTS uploads (
    id           TEXT PRIMARY KEY,
    sha256       TEXT,
    size_bytes   INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    document     TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS uploads_by_content ON uploads (sha256);

CREATE TABLE IF NOT EXISTS bills (
    id            TEXT PRIMARY KEY,
    prediction_id TEXT NOT NULL,
    kind          TEXT NOT NULL,
    created_at    REAL NOT NULL,
    price_usd_micros INTEGER NOT NULL,
    document      TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS bills_by_prediction ON bills (prediction_id);

CREATE TABLE IF NOT EXISTS counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS chats (
    seq      INTEGER PRIMARY KEY,
    document TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS notes (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
