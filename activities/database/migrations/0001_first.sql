-- The first schema: plans and money, generations and their events, submissions, media and assets.
-- Constraints carry the invariants of ARCHITECTURE.md; money is integer micro-USD throughout.

CREATE EXTENSION IF NOT EXISTS btree_gist;  -- periods of one user must not overlap

-- Names people type, seeded and editable. NULL = unlimited, 0 = none.
CREATE TABLE plans (
    plan                  text PRIMARY KEY CHECK (plan ~ '^[a-z][a-z0-9_]{0,39}$'),
    title                 text NOT NULL,
    videos_limit          bigint CHECK (videos_limit >= 0),
    cost_limit_usd_micros bigint CHECK (cost_limit_usd_micros >= 0),
    fairness_weight       real NOT NULL DEFAULT 1 CHECK (fairness_weight BETWEEN 0.001 AND 1000)
);

INSERT INTO plans (plan, title, videos_limit, cost_limit_usd_micros, fairness_weight) VALUES
    ('free', 'Free', 2, 2000000, 1),
    ('basic', 'Basic', 10, 25000000, 1),
    ('pro', 'Pro', 30, 100000000, 2),
    ('enterprise', 'Enterprise', NULL, 500000000, 4);

-- Which plan a user is on, and since when. A user without a row is on the deployment's default plan.
CREATE TABLE subscriptions (
    user_id     text PRIMARY KEY,
    plan        text NOT NULL REFERENCES plans,
    anchored_at timestamptz NOT NULL DEFAULT now(),
    changed_at  timestamptz NOT NULL DEFAULT now()
);

-- One row per user and period [start, end): what is held and what is booked.
CREATE TABLE balances (
    balance_id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id             text NOT NULL,
    period              tstzrange NOT NULL CHECK (NOT isempty(period) AND lower_inc(period) AND NOT upper_inc(period)),
    videos_reserved     bigint NOT NULL DEFAULT 0 CHECK (videos_reserved >= 0),
    videos_settled      bigint NOT NULL DEFAULT 0 CHECK (videos_settled >= 0),
    reserved_usd_micros bigint NOT NULL DEFAULT 0 CHECK (reserved_usd_micros >= 0),
    settled_usd_micros  bigint NOT NULL DEFAULT 0 CHECK (settled_usd_micros >= 0),
    EXCLUDE USING gist (user_id WITH =, period WITH &&)
);

-- The deployment's own spending, by day and by month (UTC): what its caps are checked against.
CREATE TABLE spending (
    span                text NOT NULL CHECK (span IN ('day', 'month')),
    starts_on           date NOT NULL,
    reserved_usd_micros bigint NOT NULL DEFAULT 0 CHECK (reserved_usd_micros >= 0),
    settled_usd_micros  bigint NOT NULL DEFAULT 0 CHECK (settled_usd_micros >= 0),
    PRIMARY KEY (span, starts_on)
);

CREATE TABLE generations (
    generation_id   text PRIMARY KEY CHECK (length(generation_id) BETWEEN 1 AND 200),
    user_id         text NOT NULL CHECK (user_id <> ''),
    idempotency_key text NOT NULL,
    request_hash    text NOT NULL,
    request         jsonb NOT NULL,
    operation       text NOT NULL,
    source          text NOT NULL,
    model           text,
    stage           text NOT NULL,
    stage_at        timestamptz NOT NULL DEFAULT now(),
    last_seq        integer NOT NULL DEFAULT 0,
    inputs          jsonb,  -- role (image, audio, …) → media id, once they are in the store
    terms           jsonb,
    body            jsonb,  -- the provider's parameters as the catalogue named them then; no prompt, no URLs
    prompt          text,
    prompt_by       text,
    prediction_id   text,
    failure         jsonb,
    created_at      timestamptz NOT NULL DEFAULT now(),
    completed_at    timestamptz,
    -- One key, one generation, for ever.
    UNIQUE (user_id, idempotency_key)
);
CREATE INDEX generations_by_user ON generations (user_id, created_at DESC);
CREATE INDEX generations_by_time ON generations (created_at DESC);
CREATE INDEX generations_open ON generations (stage) WHERE stage NOT IN ('completed', 'failed', 'cancelled');

-- What happened, in order: the one source for lists, event streams and callbacks.
CREATE TABLE events (
    event_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    generation_id text NOT NULL REFERENCES generations,
    seq           integer NOT NULL CHECK (seq > 0),
    stage         text NOT NULL,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    data          jsonb NOT NULL DEFAULT '{}',
    UNIQUE (generation_id, seq)
);

-- One hold per generation. A released row is also the tombstone that refuses a late reserve.
CREATE TABLE reservations (
    generation_id     text PRIMARY KEY,
    balance_id        bigint REFERENCES balances,
    state             text NOT NULL CHECK (state IN ('reserved', 'settled', 'released')),
    videos            bigint NOT NULL CHECK (videos >= 0),
    quoted_usd_micros bigint NOT NULL CHECK (quoted_usd_micros >= 0),
    spent_on          date NOT NULL,
    reserved_at       timestamptz NOT NULL DEFAULT now(),
    closed_at         timestamptz,
    CHECK ((state = 'reserved') = (closed_at IS NULL)),
    -- Only a tombstone, which never held anything, has no balance.
    CHECK (balance_id IS NOT NULL OR (state = 'released' AND videos = 0 AND quoted_usd_micros = 0))
);

-- Every movement of money, append-only: the balances are its sums.
CREATE TABLE ledger (
    entry_id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    generation_id       text NOT NULL REFERENCES reservations,
    account             text NOT NULL CHECK (account IN ('user', 'house')),
    kind                text NOT NULL CHECK (kind IN ('reserve', 'settle', 'release', 'correct')),
    balance_id          bigint REFERENCES balances,
    videos_reserved     bigint NOT NULL DEFAULT 0,
    videos_settled      bigint NOT NULL DEFAULT 0,
    reserved_usd_micros bigint NOT NULL DEFAULT 0,
    settled_usd_micros  bigint NOT NULL DEFAULT 0,
    provisional         boolean NOT NULL DEFAULT false,
    at                  timestamptz NOT NULL DEFAULT now(),
    CHECK ((account = 'user') = (balance_id IS NOT NULL))
);
CREATE INDEX ledger_by_balance ON ledger (balance_id);
-- Reserved once; settled or released once: whichever came first is the end of the hold.
CREATE UNIQUE INDEX ledger_one_reserve ON ledger (generation_id) WHERE kind = 'reserve';
CREATE UNIQUE INDEX ledger_one_end ON ledger (generation_id) WHERE account = 'user' AND kind IN ('settle', 'release');
CREATE UNIQUE INDEX ledger_one_house ON ledger (generation_id) WHERE account = 'house' AND kind = 'settle';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Our record of the one paid POST. Written before it is sent, so that a lost reply is known to be lost.
CREATE TABLE submissions (
    generation_id   text PRIMARY KEY REFERENCES generations,
    state           text NOT NULL CHECK (state IN ('prepared', 'sending', 'accepted', 'rejected', 'unknown')),
    provider_path   text NOT NULL,
    base_url        text NOT NULL,
    staged_url      text NOT NULL UNIQUE,  -- without its query; found again in a prediction's input
    payload         jsonb,                 -- the POST's body; dropped once the outcome is known for good
    attempts        integer NOT NULL DEFAULT 0,
    sending_at      timestamptz,
    send_by         timestamptz,
    proofs          integer NOT NULL DEFAULT 0,  -- complete listings since, that did not have it
    prediction_id   text UNIQUE,
    accepted_at     timestamptz,
    CHECK ((state = 'accepted') = (prediction_id IS NOT NULL)),
    CHECK (state NOT IN ('sending', 'unknown') OR (sending_at IS NOT NULL AND send_by IS NOT NULL))
);

-- What each attempt did, in order, with its evidence: append-only.
CREATE TABLE submission_attempts (
    generation_id text NOT NULL REFERENCES submissions,
    attempt       integer NOT NULL CHECK (attempt > 0),
    state         text NOT NULL CHECK (state IN ('sending', 'accepted', 'rejected', 'unknown', 'absent')),
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    evidence      text NOT NULL DEFAULT '',
    PRIMARY KEY (generation_id, attempt, state)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON submission_attempts
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Inputs, by owner and content: the same bytes of the same owner are one row.
CREATE TABLE media (
    media_id    text PRIMARY KEY,
    user_id     text NOT NULL,
    key         text NOT NULL UNIQUE,
    facts       jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    used_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX media_by_user ON media (user_id, created_at DESC);

-- The asset library: one row per finished video.
CREATE TABLE assets (
    asset_id      text PRIMARY KEY,
    generation_id text NOT NULL UNIQUE REFERENCES generations,
    user_id       text NOT NULL,
    source        text NOT NULL,
    operation     text NOT NULL,
    model         text NOT NULL,
    key           text NOT NULL UNIQUE,
    poster_key    text,
    extra_keys    text[] NOT NULL DEFAULT '{}',
    facts         jsonb NOT NULL,
    nsfw          boolean NOT NULL DEFAULT false,
    warnings      text[] NOT NULL DEFAULT '{}',
    title         text NOT NULL,
    description   text NOT NULL DEFAULT '',
    prompt        text,
    tags          text[] NOT NULL DEFAULT '{}',
    created_at    timestamptz NOT NULL DEFAULT now(),
    deleted_at    timestamptz,
    words         tsvector GENERATED ALWAYS AS (
        to_tsvector('simple', title || ' ' || description || ' ' || coalesce(prompt, ''))
    ) STORED
);
CREATE INDEX assets_by_user ON assets (user_id, created_at DESC) WHERE deleted_at IS NULL;
CREATE INDEX assets_by_words ON assets USING gin (words);

-- A generation with its money and its asset, as readers see it.
CREATE VIEW generations_read AS
SELECT g.*, r.quoted_usd_micros, r.state AS reservation,
       (SELECT sum(l.settled_usd_micros)::bigint FROM ledger l
        WHERE l.generation_id = g.generation_id AND l.account = 'user' AND l.kind <> 'reserve') AS settled_usd_micros,
       a.asset_id, a.key, a.poster_key, a.facts, a.warnings, a.deleted_at
FROM generations g
LEFT JOIN reservations r USING (generation_id)
LEFT JOIN assets a USING (generation_id);

-- Few values that every process must share, such as the key of the keyed hashes.
CREATE TABLE deployment (
    name  text PRIMARY KEY,
    value text NOT NULL
);
INSERT INTO deployment (name, value)
VALUES ('hash_key', replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''));

-- What the starter may do: start and read generations, add media, hide assets. Never plans or money.
DO $$ BEGIN
    CREATE ROLE stillmotion_starter NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;  -- roles belong to the whole server: another database made it
END $$;
GRANT stillmotion_starter TO CURRENT_USER;
GRANT USAGE ON SCHEMA public TO stillmotion_starter;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO stillmotion_starter;
GRANT INSERT ON generations, events, media TO stillmotion_starter;
GRANT UPDATE (stage, stage_at, last_seq, request_hash, request, operation, source, model, failure, completed_at,
              created_at)
    ON generations TO stillmotion_starter;
GRANT UPDATE (used_at) ON media TO stillmotion_starter;
GRANT UPDATE (title, description, tags, deleted_at) ON assets TO stillmotion_starter;
GRANT DELETE ON media TO stillmotion_starter;
