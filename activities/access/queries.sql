-- name: find
-- The key of a secret that is good now.
SELECT k.key_id, k.name, k.sources, k.user_id, k.requests_per_minute
FROM api_secrets s JOIN api_keys k USING (key_id)
WHERE s.secret_hash = $1 AND k.revoked_at IS NULL AND (s.ends_at IS NULL OR s.ends_at > now());

-- name: find_by_id
-- A key that was not revoked: for a session, which began with its secret.
SELECT key_id, name, sources, user_id, requests_per_minute FROM api_keys
WHERE key_id = $1 AND revoked_at IS NULL;

-- name: add_key
-- A new key; nothing where its name is taken.
INSERT INTO api_keys (key_id, name, sources, user_id, requests_per_minute) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING
RETURNING key_id;

-- name: add_secret
-- A secret that is good until something ends it.
INSERT INTO api_secrets (secret_hash, key_id) VALUES ($1, $2);

-- name: lock
-- The key of that id, else the one that has the name, or had it last; held until the transaction ends.
SELECT key_id, name, sources, user_id, requests_per_minute, revoked_at FROM api_keys
WHERE key_id = $1 OR name = $1
ORDER BY key_id = $1 DESC, revoked_at IS NOT NULL, made_at DESC LIMIT 1 FOR UPDATE;

-- name: end_secrets
-- What is good now ends after a while, or sooner where an earlier rotation said so: `least` leaves NULL out.
UPDATE api_secrets SET ends_at = least(ends_at, now() + $2::interval)
WHERE key_id = $1 AND (ends_at IS NULL OR ends_at > now())
RETURNING ends_at;

-- name: forget_ended
-- What is good no more says nothing to anybody.
DELETE FROM api_secrets WHERE key_id = $1 AND ends_at <= now();

-- name: revoke
-- Repeated, it says the same.
UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE key_id = $1 RETURNING revoked_at;

-- name: forget_secrets
-- Every secret of a key.
DELETE FROM api_secrets WHERE key_id = $1;

-- name: forget_secrets_of_user
-- Every secret of the keys that act for one user alone.
DELETE FROM api_secrets WHERE key_id IN (SELECT key_id FROM api_keys WHERE user_id = $1);

-- name: forget_keys_of_user
-- The keys themselves, after their secrets.
DELETE FROM api_keys WHERE user_id = $1;

-- name: list
-- Every key: those that are good first, the newest first.
SELECT k.key_id, k.name, k.sources, k.user_id, k.requests_per_minute, k.made_at, k.revoked_at,
       max(s.made_at) AS secret_made_at, max(s.ends_at) FILTER (WHERE s.ends_at > now()) AS old_secret_until
FROM api_keys k LEFT JOIN api_secrets s ON s.key_id = k.key_id
GROUP BY k.key_id
ORDER BY k.revoked_at IS NOT NULL, k.made_at DESC, k.key_id;
