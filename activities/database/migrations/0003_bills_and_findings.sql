-- The provider's bills, what the sweeper finds, and the pace of submits.

-- What the provider billed for each prediction that was ever ours, as read last, and when it is read again.
-- A generation has more than one where a person gave one up, or submitted again, that turned out to be there.
CREATE TABLE bills (
    prediction_id       text PRIMARY KEY,
    generation_id       text NOT NULL REFERENCES reservations,
    base_url            text NOT NULL,  -- the account that pays
    key_fingerprint     text NOT NULL,
    is_stray            boolean NOT NULL DEFAULT false,  -- not the generation's own: the house pays
    charged_usd_micros  bigint CHECK (charged_usd_micros >= 0),   -- NULL: no row seen yet
    refunded_usd_micros bigint NOT NULL DEFAULT 0 CHECK (refunded_usd_micros >= 0),
    flag                text CHECK (flag IN ('unbelievable', 'missing')),
    looks               integer NOT NULL DEFAULT 0,
    ended_at            timestamptz NOT NULL DEFAULT now(),
    read_at             timestamptz,
    due_at              timestamptz DEFAULT now()  -- NULL: read for the last time
);
CREATE INDEX bills_by_generation ON bills (generation_id);
CREATE INDEX bills_due ON bills (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX bills_flagged ON bills (flag) WHERE flag IS NOT NULL;

-- What the sweeper could not repair by itself; a row goes when it is not found any more.
CREATE TABLE findings (
    kind     text NOT NULL,
    subject  text NOT NULL,
    detail   text NOT NULL,
    found_at timestamptz NOT NULL DEFAULT now(),
    seen_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, subject)
);

-- The sweeps that have ended: when, what each repaired and found, and which of its looks could not be had.
CREATE TABLE sweeps (
    run_id     text PRIMARY KEY,
    started_at timestamptz NOT NULL,
    ended_at   timestamptz NOT NULL DEFAULT now(),
    repaired   jsonb NOT NULL DEFAULT '{}',  -- kind → how many
    found      jsonb NOT NULL DEFAULT '{}',  -- kind → how many
    failed     jsonb NOT NULL DEFAULT '{}'   -- look → why
);
CREATE INDEX sweeps_by_end ON sweeps (ended_at DESC);

-- What the sweeper looks for.
CREATE INDEX assets_by_poster ON assets (poster_key);
CREATE INDEX assets_by_extra ON assets USING gin (extra_keys);
CREATE INDEX media_by_use ON media (used_at);
-- What stands for a generation in a file's key (workflows/contracts/ids.py). Immutable, since the encoding is named.
CREATE FUNCTION generation_digest(generation_id text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT left(encode(sha256(convert_to(generation_id, 'UTF8')), 'hex'), 16)
$$;
CREATE INDEX generations_by_digest ON generations (generation_digest(generation_id));
CREATE INDEX ledger_of_the_house ON ledger (at) WHERE account = 'house';

-- Until when the provider's 429 stops all submits to an account.
CREATE TABLE pacing (
    account    text PRIMARY KEY,  -- the base URL: a rotated key is the same account's
    not_before timestamptz NOT NULL
);

GRANT SELECT ON bills, findings, sweeps, pacing TO stillmotion_starter;

-- Submissions whose prediction nobody knows: few, and looked for at each sweep.
CREATE INDEX submissions_without_prediction ON submissions (generation_id) WHERE prediction_id IS NULL;
