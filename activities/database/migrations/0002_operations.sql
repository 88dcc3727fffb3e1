-- Three operations: what is told of a prompt, what an asset carries for its product, callbacks, batches.

-- What differs from what was asked before there is a file: a prompt made otherwise, keys that were dropped.
ALTER TABLE generations ADD COLUMN warnings text[] NOT NULL DEFAULT '{}';
CREATE INDEX generations_by_prediction ON generations (prediction_id) WHERE prediction_id IS NOT NULL;
CREATE INDEX generations_completed ON generations (model, completed_at DESC) WHERE stage = 'completed';

-- What the product's own library kept beside a video: scene number, operation, size.
ALTER TABLE assets ADD COLUMN metadata jsonb NOT NULL DEFAULT '{}';
CREATE INDEX assets_by_tag ON assets USING gin (tags);

DROP VIEW generations_read;
CREATE VIEW generations_read AS
SELECT g.generation_id, g.user_id, g.idempotency_key, g.request, g.operation, g.source, g.model, g.stage, g.stage_at,
       g.last_seq, g.terms, g.prompt, g.prompt_by, g.prediction_id, g.failure, g.created_at, g.completed_at,
       r.quoted_usd_micros, r.state AS reservation,
       (SELECT sum(l.settled_usd_micros)::bigint FROM ledger l
        WHERE l.generation_id = g.generation_id AND l.account = 'user' AND l.kind <> 'reserve') AS settled_usd_micros,
       a.asset_id, a.key, a.poster_key, a.facts, a.deleted_at,
       g.warnings || coalesce(a.warnings, '{}') AS warnings
FROM generations g
LEFT JOIN reservations r USING (generation_id)
LEFT JOIN assets a USING (generation_id);

-- The signing secret of each source, encrypted with the deployment's key; the one before it still signs until it expires.
CREATE TABLE callback_secrets (
    source              text PRIMARY KEY,
    secret              bytea NOT NULL,
    previous            bytea,
    previous_expires_at timestamptz,
    changed_at          timestamptz NOT NULL DEFAULT now(),
    CHECK ((previous IS NULL) = (previous_expires_at IS NULL))
);

-- How far a generation's events were told to its callback_url.
CREATE TABLE callbacks (
    generation_id text PRIMARY KEY REFERENCES generations,
    state         text NOT NULL DEFAULT 'delivering' CHECK (state IN ('delivering', 'delivered', 'given_up')),
    delivered_seq integer NOT NULL DEFAULT 0,
    failures      integer NOT NULL DEFAULT 0,  -- in a row, of the event that is next
    failing_since timestamptz,
    evidence      text NOT NULL DEFAULT '',    -- what the receiver did last, without its words
    changed_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX callbacks_by_state ON callbacks (state, changed_at DESC);

-- Readers sum what was booked for each generation of a list or a batch.
CREATE INDEX ledger_by_generation ON ledger (generation_id);

-- Many generations asked for at once; their requests stand here, so that the workflow's input is the id.
CREATE TABLE batches (
    batch_id            text PRIMARY KEY CHECK (batch_id ~ '^bat_[a-z0-9]{26}$'),
    user_id             text NOT NULL CHECK (user_id <> ''),
    idempotency_key     text NOT NULL,
    request_hash        text NOT NULL,
    source              text NOT NULL,
    max_parallel        integer NOT NULL CHECK (max_parallel > 0),
    max_cost_usd_micros bigint CHECK (max_cost_usd_micros >= 0),
    redo_of             text REFERENCES batches,
    state               text NOT NULL DEFAULT 'accepted'
                        CHECK (state IN ('accepted', 'running', 'completed', 'failed', 'cancelled')),
    failure             jsonb,
    created_at          timestamptz NOT NULL DEFAULT now(),
    completed_at        timestamptz,
    UNIQUE (user_id, idempotency_key)
);
CREATE INDEX batches_by_user ON batches (user_id, created_at DESC);

-- Positions count from 1. `is_made` tells what this batch reserved from what an item's own key had named before.
CREATE TABLE batch_items (
    batch_id      text NOT NULL REFERENCES batches,
    position      integer NOT NULL CHECK (position > 0),
    generation_id text NOT NULL,
    request       jsonb NOT NULL,
    is_made       boolean NOT NULL DEFAULT false,
    PRIMARY KEY (batch_id, position),
    UNIQUE (batch_id, generation_id)
);

GRANT UPDATE (idempotency_key) ON generations TO stillmotion_starter;
GRANT SELECT ON generations_read, callbacks, batches, batch_items TO stillmotion_starter;
GRANT SELECT (source, changed_at) ON callback_secrets TO stillmotion_starter;
-- How far a batch is, and what it has made, is told by who reserves it.
GRANT INSERT (batch_id, user_id, idempotency_key, request_hash, source, max_parallel, max_cost_usd_micros, redo_of)
    ON batches TO stillmotion_starter;
GRANT INSERT (batch_id, position, generation_id, request) ON batch_items TO stillmotion_starter;
-- A batch that was refused is asked for again under its key, with other items if need be.
GRANT UPDATE (request_hash, source, max_parallel, max_cost_usd_micros, redo_of, state, failure, created_at, completed_at)
    ON batches TO stillmotion_starter;
GRANT DELETE ON batch_items TO stillmotion_starter;

-- They are forgotten only before anything is made of them: else their holds would belong to nobody.
CREATE FUNCTION refuse_to_forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM batches WHERE batch_id = OLD.batch_id AND state NOT IN ('accepted', 'failed')) THEN
        RAISE EXCEPTION 'the items of % are being made, or were', OLD.batch_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER kept_once_made BEFORE DELETE ON batch_items
    FOR EACH ROW EXECUTE FUNCTION refuse_to_forget();
