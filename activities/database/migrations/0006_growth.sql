-- Ten thousand generations of one user are found as fast as ten: each list has an index that holds its rows in the
-- list's own order, the id last, since that is where a page goes on.

CREATE EXTENSION IF NOT EXISTS btree_gin;  -- an owner and words in one index

DROP INDEX generations_by_user;
DROP INDEX generations_by_time;
CREATE INDEX generations_by_user ON generations (user_id, created_at DESC, generation_id DESC);
CREATE INDEX generations_by_time ON generations (created_at DESC, generation_id DESC);
-- The few that failed, or that another product asked for, among thousands that did not.
CREATE INDEX generations_by_stage ON generations (user_id, stage, created_at DESC, generation_id DESC);
CREATE INDEX generations_by_operation ON generations (user_id, operation, created_at DESC, generation_id DESC);
CREATE INDEX generations_by_source ON generations (user_id, source, created_at DESC, generation_id DESC);

DROP INDEX assets_by_user;
CREATE INDEX assets_by_user ON assets (user_id, created_at DESC, asset_id DESC) WHERE deleted_at IS NULL;
CREATE INDEX assets_by_time ON assets (created_at DESC, asset_id DESC) WHERE deleted_at IS NULL;
CREATE INDEX assets_by_operation ON assets (user_id, operation, created_at DESC, asset_id DESC)
    WHERE deleted_at IS NULL;
CREATE INDEX assets_by_source ON assets (user_id, source, created_at DESC, asset_id DESC)
    WHERE deleted_at IS NULL;

-- By owner too: a word that everybody uses is rare with most of them.
DROP INDEX assets_by_words;
DROP INDEX assets_by_tag;
CREATE INDEX assets_by_words ON assets USING gin (user_id, words) WHERE deleted_at IS NULL;
CREATE INDEX assets_by_tag ON assets USING gin (user_id, tags) WHERE deleted_at IS NULL;

-- An id is found by its beginning, whatever order of letters the database has.
CREATE INDEX generations_by_beginning ON generations (generation_id text_pattern_ops);
CREATE INDEX assets_by_beginning ON assets (asset_id text_pattern_ops);

-- What a period is made of, without a look at the rows themselves.
DROP INDEX ledger_by_balance;
CREATE INDEX ledger_by_balance ON ledger (balance_id)
    INCLUDE (generation_id, videos_reserved, videos_settled, reserved_usd_micros, settled_usd_micros);
