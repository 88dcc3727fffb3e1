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
-- Newest first, those after a certain one: the page that follows it.
SELECT * FROM assets
WHERE deleted_at IS NULL
  AND ($1::text IS NULL OR user_id = $1)
  AND ($2::text IS NULL OR source = $2)
  AND ($3::text IS NULL OR operation = $3)
  AND ($4::text IS NULL OR (created_at, asset_id) < (
      SELECT l.created_at, l.asset_id FROM assets l
      WHERE l.asset_id = $4 AND ($1::text IS NULL OR l.user_id = $1)))
ORDER BY created_at DESC, asset_id DESC
LIMIT $5;

-- name: search
-- As `list`, of those with words in title, description or prompt, and with one whole tag. First among the newest, where
-- whatever is frequent is found at once; then by the indexes of words and tags, which are quick for what is rare. The
-- planner can't choose between the two: it knows how frequent a word is, not how frequent it is with one user.
WITH newest AS MATERIALIZED (
    SELECT asset_id, created_at, words, tags FROM assets
    WHERE deleted_at IS NULL
      AND ($1::text IS NULL OR user_id = $1)
      AND ($2::text IS NULL OR source = $2)
      AND ($3::text IS NULL OR operation = $3)
      AND ($4::text IS NULL OR (created_at, asset_id) < (
          SELECT l.created_at, l.asset_id FROM assets l
          WHERE l.asset_id = $4 AND ($1::text IS NULL OR l.user_id = $1)))
    ORDER BY created_at DESC, asset_id DESC
    LIMIT 10 * $5::bigint
), of_the_newest AS MATERIALIZED (
    SELECT asset_id FROM newest
    WHERE ($6::text IS NULL OR words @@ plainto_tsquery('simple', $6)) AND ($7::text IS NULL OR tags @> ARRAY[$7])
    ORDER BY created_at DESC, asset_id DESC
    LIMIT $5
), of_all AS MATERIALIZED (
    SELECT asset_id FROM assets
    WHERE (SELECT count(*) FROM of_the_newest) < $5 AND (SELECT count(*) FROM newest) = 10 * $5::bigint
      AND deleted_at IS NULL
      AND ($1::text IS NULL OR user_id = $1)
      AND ($2::text IS NULL OR source = $2)
      AND ($3::text IS NULL OR operation = $3)
      AND ($4::text IS NULL OR (created_at, asset_id) < (
          SELECT l.created_at, l.asset_id FROM assets l
          WHERE l.asset_id = $4 AND ($1::text IS NULL OR l.user_id = $1)))
      AND ($6::text IS NULL OR words @@ plainto_tsquery('simple', $6)) AND ($7::text IS NULL OR tags @> ARRAY[$7])
)
SELECT * FROM assets
WHERE asset_id IN (SELECT asset_id FROM of_the_newest UNION ALL SELECT asset_id FROM of_all)
ORDER BY created_at DESC, asset_id DESC
LIMIT $5;

-- name: delete
-- Hidden first; its files go next.
UPDATE assets SET deleted_at = now() WHERE asset_id = $1 AND user_id = $2 AND deleted_at IS NULL
RETURNING key, poster_key, extra_keys;
