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
-- Newest first, those after a certain one: the page that follows it; none where that is another owner's or source's:
-- nobody is told when it was made. One source alone is compared by `=`: only then does an index give the rows in this
-- order.
SELECT * FROM assets
WHERE deleted_at IS NULL
  AND ($1::text IS NULL OR user_id = $1)
  AND ($2::text[] IS NULL OR CASE cardinality($2) WHEN 1 THEN source = $2[1] ELSE source = ANY ($2) END)
  AND ($3::text IS NULL OR operation = $3)
  AND ($4::text IS NULL OR (created_at, asset_id) < (
      SELECT l.created_at, l.asset_id FROM assets l
      WHERE l.asset_id = $4 AND ($1::text IS NULL OR l.user_id = $1)
        AND ($2::text[] IS NULL OR l.source = ANY ($2))))
  AND ($6::boolean IS NULL OR favorite = $6)
  AND ($7::timestamptz IS NULL OR created_at >= $7)
  AND ($8::timestamptz IS NULL OR created_at < $8)
ORDER BY created_at DESC, asset_id DESC
LIMIT $5;

-- name: search
-- As `list`, of those with words in title, description or prompt, and with one whole tag. What is rare is quick by the
-- indexes of words and tags, what is frequent by reading on from the newest. The planner can't choose between the two:
-- it knows how frequent a word is, not how frequent it is with one user. So the newest hundred are looked at first,
-- whatever the page's size. They may be all there are, or fill the page. Else their share of hits tells how many rows
-- it takes to fill it: where half as many again are within reach (500, or ten for each that is wanted), it reads on.
-- Else, or where that was not enough, the indexes give them all.
WITH newest AS MATERIALIZED (
    SELECT asset_id,
           ($9::text IS NULL OR words @@ plainto_tsquery('simple', $9))
           AND ($10::text IS NULL OR tags @> ARRAY[$10]) AS hit
    FROM assets
    WHERE deleted_at IS NULL
      AND ($1::text IS NULL OR user_id = $1)
      AND ($2::text[] IS NULL OR CASE cardinality($2) WHEN 1 THEN source = $2[1] ELSE source = ANY ($2) END)
      AND ($3::text IS NULL OR operation = $3)
      AND ($4::text IS NULL OR (created_at, asset_id) < (
          SELECT l.created_at, l.asset_id FROM assets l
          WHERE l.asset_id = $4 AND ($1::text IS NULL OR l.user_id = $1)
            AND ($2::text[] IS NULL OR l.source = ANY ($2))))
      AND ($6::boolean IS NULL OR favorite = $6)
      AND ($7::timestamptz IS NULL OR created_at >= $7)
      AND ($8::timestamptz IS NULL OR created_at < $8)
    ORDER BY created_at DESC, asset_id DESC
    LIMIT 100
), of_the_newest AS MATERIALIZED (
    SELECT count(*) = 100 AS are_more, count(*) FILTER (WHERE hit) AS hits FROM newest
), frequent AS MATERIALIZED (
    SELECT asset_id FROM (
        SELECT asset_id, created_at,
               ($9::text IS NULL OR words @@ plainto_tsquery('simple', $9))
               AND ($10::text IS NULL OR tags @> ARRAY[$10]) AS hit
        FROM assets
        WHERE (SELECT are_more AND hits < $5 AND hits * greatest(10 * $5::bigint, 500) >= 150 * $5::bigint
               FROM of_the_newest)
          AND deleted_at IS NULL
          AND ($1::text IS NULL OR user_id = $1)
          AND ($2::text[] IS NULL OR CASE cardinality($2) WHEN 1 THEN source = $2[1] ELSE source = ANY ($2) END)
          AND ($3::text IS NULL OR operation = $3)
          AND ($4::text IS NULL OR (created_at, asset_id) < (
              SELECT l.created_at, l.asset_id FROM assets l
              WHERE l.asset_id = $4 AND ($1::text IS NULL OR l.user_id = $1)
                AND ($2::text[] IS NULL OR l.source = ANY ($2))))
          AND ($6::boolean IS NULL OR favorite = $6)
          AND ($7::timestamptz IS NULL OR created_at >= $7)
          AND ($8::timestamptz IS NULL OR created_at < $8)
        ORDER BY created_at DESC, asset_id DESC
        LIMIT greatest(10 * $5::bigint, 500)) AS walked
    WHERE hit
    ORDER BY created_at DESC, asset_id DESC
    LIMIT $5
), of_all AS MATERIALIZED (
    SELECT asset_id FROM assets
    WHERE (SELECT are_more AND hits < $5 AND (SELECT count(*) FROM frequent) < $5 FROM of_the_newest)
      AND deleted_at IS NULL
      AND ($1::text IS NULL OR user_id = $1)
      AND ($2::text[] IS NULL OR CASE cardinality($2) WHEN 1 THEN source = $2[1] ELSE source = ANY ($2) END)
      AND ($3::text IS NULL OR operation = $3)
      AND ($4::text IS NULL OR (created_at, asset_id) < (
          SELECT l.created_at, l.asset_id FROM assets l
          WHERE l.asset_id = $4 AND ($1::text IS NULL OR l.user_id = $1)
            AND ($2::text[] IS NULL OR l.source = ANY ($2))))
      AND ($6::boolean IS NULL OR favorite = $6)
      AND ($7::timestamptz IS NULL OR created_at >= $7)
      AND ($8::timestamptz IS NULL OR created_at < $8)
      AND ($9::text IS NULL OR words @@ plainto_tsquery('simple', $9))
      AND ($10::text IS NULL OR tags @> ARRAY[$10])
)
SELECT * FROM assets
WHERE asset_id IN (SELECT asset_id FROM newest WHERE hit UNION ALL SELECT asset_id FROM frequent
                   UNION ALL SELECT asset_id FROM of_all)
ORDER BY created_at DESC, asset_id DESC
LIMIT $5;

-- name: edit
-- What its owner says of it; NULL leaves what is there.
UPDATE assets
SET title = coalesce($3, title), description = coalesce($4, description), tags = coalesce($5, tags),
    favorite = coalesce($6, favorite)
WHERE asset_id = $1 AND user_id = $2 AND deleted_at IS NULL
RETURNING *;

-- name: file
-- Where the files of an asset are, by its whole id.
SELECT asset_id, key, poster_key, facts, title FROM assets
WHERE asset_id = $1 AND ($2::text IS NULL OR user_id = $2)
  AND ($3::text[] IS NULL OR source = ANY ($3)) AND deleted_at IS NULL;

-- name: key_of
-- Where the video of a generation is.
SELECT key FROM assets WHERE generation_id = $1 AND ($2::text IS NULL OR user_id = $2) AND deleted_at IS NULL;

-- name: delete
-- Hidden first; its files go next.
UPDATE assets SET deleted_at = now() WHERE asset_id = $1 AND user_id = $2 AND deleted_at IS NULL
RETURNING key, poster_key, extra_keys;
