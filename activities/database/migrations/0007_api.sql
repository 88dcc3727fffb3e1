-- Who may call the HTTP API: a key per product, whose secret is stored hashed; and what people mark among their videos.

CREATE TABLE api_keys (
    key_id text PRIMARY KEY,
    name text NOT NULL CHECK (name <> ''),
    -- What it may ask as, and whose generations it sees.
    sources text[] NOT NULL CHECK (cardinality(sources) > 0),
    -- The one user it acts for; NULL = whoever each request names.
    user_id text CHECK (user_id <> ''),
    requests_per_minute integer NOT NULL CHECK (requests_per_minute > 0),
    made_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
-- The name of a revoked one is free again.
CREATE UNIQUE INDEX api_keys_by_name ON api_keys (name) WHERE revoked_at IS NULL;

-- Two of a key for a while after a rotation, so that no request of a running backend is refused.
CREATE TABLE api_secrets (
    secret_hash bytea PRIMARY KEY CHECK (octet_length(secret_hash) = 32),
    key_id text NOT NULL REFERENCES api_keys,
    made_at timestamptz NOT NULL DEFAULT now(),
    ends_at timestamptz
);
CREATE INDEX api_secrets_by_key ON api_secrets (key_id);

ALTER TABLE assets ADD COLUMN favorite boolean NOT NULL DEFAULT false;
-- The few with a star among thousands without.
CREATE INDEX assets_by_favorite ON assets (user_id, created_at DESC, asset_id DESC)
    WHERE deleted_at IS NULL AND favorite;

-- What is hashed leads back to no secret. Only the owner of the schema makes and revokes keys.
GRANT SELECT ON api_keys, api_secrets TO stillmotion_starter;
GRANT UPDATE (favorite) ON assets TO stillmotion_starter;
