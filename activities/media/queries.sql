-- name: insert
-- An input; the same bytes of the same owner are used again instead.
INSERT INTO media (media_id, user_id, key, facts) VALUES ($1, $2, $3, $4)
ON CONFLICT (media_id) DO UPDATE SET used_at = now();

-- name: use
-- An owner's input, used now so that it doesn't expire.
UPDATE media SET used_at = now() WHERE media_id = $1 AND user_id = $2 RETURNING key, facts;
