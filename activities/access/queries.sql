-- name: find
-- The key of a secret that is good now.
SELECT k.key_id, k.name, k.sources, k.user_id, k.requests_per_minute
FROM api_secrets s JOIN api_keys k USING (key_id)
WHERE s.secret_hash = $1 AND k.revoked_at IS NULL AND (s.ends_at IS NULL OR s.ends_at > now());
