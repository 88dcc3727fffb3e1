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

-- When the sweeper ran last, and what it repaired then.
CREATE TABLE sweeps (
    sweep_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    repaired    jsonb NOT NULL DEFAULT '{}'  -- kind → how many
);

-- Until when the provider's 429 stops all submits to an account.
CREATE TABLE pacing (
    account    text PRIMARY KEY,  -- base URL and key fingerprint
    not_before timestamptz NOT NULL
);

GRANT SELECT ON bills, findings, sweeps, pacing TO stillmotion_starter;
