-- name: insert
-- The asset of a generation; a second one is not taken.
INSERT INTO assets (asset_id, generation_id, user_id, source, operation, model, key, poster_key, extra_keys,
                    facts, nsfw, warnings, title, description, prompt, tags, metadata)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
ON CONFLICT (generation_id) DO NOTHING RETURNING asset_id;

-- name: read
-- One asset of its owner, by id or unique beginning.
SELECT * FROM assets
WHERE starts_with(asset_id, $1) AND ($2::text IS NULL OR user_id = $2) AND deleted_at IS NULL
ORDER BY asset_id LIMIT 2;

-- name: list
-- Newest first; words are searched in title, description and prompt, a tag is one whole tag.
SELECT * FROM assets
WHERE deleted_at IS NULL
  AND ($1::text IS NULL OR user_id = $1)
  AND ($2::text IS NULL OR source = $2)
  AND ($3::text IS NULL OR operation = $3)
  AND ($4::text IS NULL OR words @@ plainto_tsquery('simple', $4))
  AND ($5::text IS NULL OR tags @> ARRAY[$5])
ORDER BY created_at DESC, asset_id
LIMIT $6;

-- name: delete
-- Hidden first; its files go next.
UPDATE assets SET deleted_at = now() WHERE asset_id = $1 AND user_id = $2 AND deleted_at IS NULL
RETURNING key, poster_key, extra_keys;
