-- name: insert
-- A new generation; nothing where its id or its owner's key is known.
INSERT INTO generations
    (generation_id, user_id, idempotency_key, request_hash, request, operation, source, model, stage)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'accepted')
ON CONFLICT DO NOTHING
RETURNING generation_id;

-- name: known
-- Whoever has this id or this owner's key, and whether money was ever held for it.
SELECT g.generation_id, g.user_id, g.idempotency_key, g.request_hash, g.stage, g.last_seq, g.runs,
       EXISTS (SELECT FROM reservations r WHERE r.generation_id = g.generation_id) AS reserved
FROM generations g
WHERE g.generation_id = $1 OR (g.user_id = $2 AND g.idempotency_key = $3)
FOR UPDATE OF g;

-- name: key_is_known
-- Whether this owner's key stands for a generation: to repeat it costs nothing.
SELECT EXISTS (SELECT FROM generations WHERE user_id = $1 AND idempotency_key = $2);

-- name: free_key
-- A generation that was refused under a caller's own id gives its key up.
UPDATE generations SET idempotency_key = 'refused:' || generation_id WHERE generation_id = $1;

-- name: revive
-- A refusal before reserving doesn't use the key up: the same id starts over, its events go on.
UPDATE generations
SET request_hash = $2, request = $3, operation = $4, source = $5, model = $6, stage = 'accepted', stage_at = now(),
    failure = NULL, completed_at = NULL, created_at = now()
WHERE generation_id = $1;

-- name: began
-- This run has begun the generation; the last eight are kept, more than can be under way at once.
UPDATE generations SET runs = (array_append(runs, $2))[greatest(1, cardinality(runs) - 6):]
WHERE generation_id = $1 AND runs[cardinality(runs)] IS DISTINCT FROM $2;

-- name: runs
-- Which runs have begun it, and where it is.
SELECT runs, stage FROM generations WHERE generation_id = $1;

-- name: lock
-- Where a generation is, held until the transaction ends.
SELECT stage, last_seq FROM generations WHERE generation_id = $1 FOR UPDATE;

-- name: append
-- The generation is at a stage now, by an event. Its listeners are told when the transaction commits.
WITH moved AS (
    UPDATE generations
    SET stage = $3, stage_at = now(), last_seq = $2, failure = $5,
        completed_at = CASE WHEN $6 THEN now() ELSE completed_at END
    WHERE generation_id = $1
    RETURNING generation_id, last_seq, stage
), inserted AS (
    INSERT INTO events (generation_id, seq, stage, data)
    SELECT generation_id, last_seq, stage, $4::jsonb FROM moved
    RETURNING generation_id, seq
)
SELECT pg_notify('stillmotion_events', seq || ' ' || generation_id) FROM inserted;

-- name: set_terms
-- The frozen terms and the inputs that they were made for.
UPDATE generations SET terms = $2, model = $3, inputs = $4, body = $5 WHERE generation_id = $1;

-- name: work
-- What the later steps need.
SELECT user_id, source, operation, request, inputs, body, terms, prompt, prompt_by, prediction_id
FROM generations WHERE generation_id = $1;

-- name: request
-- What was asked for under this id.
SELECT request FROM generations WHERE generation_id = $1;

-- name: recent_runs
-- What a model took of late at a provider, from the acceptance to the job's end.
SELECT (r.terms->'quote'->>'duration_s')::float8 AS duration_s,
       extract(epoch FROM
           (SELECT min(e.at) FROM events e WHERE e.generation_id = r.generation_id AND e.stage = 'downloading')
         - (SELECT min(e.at) FROM events e WHERE e.generation_id = r.generation_id AND e.stage = 'generating')
       )::float8 AS took_s
FROM (SELECT generation_id, terms FROM generations
      WHERE model = $1 AND stage = 'completed' AND terms->>'provider' = $2
      ORDER BY completed_at DESC LIMIT $3) AS r;

-- name: set_prompt
-- The prompt is made once: a second one is not taken. What there is to say of it goes to readers. One that comes after
-- the end is nobody's: its user may be erased.
UPDATE generations SET prompt = $2, prompt_by = $3, warnings = $4
WHERE generation_id = $1 AND prompt IS NULL AND stage NOT IN ('completed', 'failed', 'cancelled');

-- name: set_prediction
-- The provider's id, for readers.
UPDATE generations SET prediction_id = $2 WHERE generation_id = $1;

-- name: read
-- One generation with its asset and its money.
SELECT * FROM generations_read WHERE generation_id = $1 AND ($2::text IS NULL OR user_id = $2);

-- name: ids_by_prefix
-- By a beginning of the id, or by the provider's whole id. Up to two, so that an ambiguous one shows.
SELECT generation_id FROM generations
WHERE (starts_with(generation_id, $1) OR prediction_id = $1) AND ($2::text IS NULL OR user_id = $2)
ORDER BY generation_id LIMIT 2;

-- name: list
-- Newest first, each filter off where NULL; $6 is the last one of the page before, and nothing where it is another
-- owner's or source's: nobody is told when that was made. One stage or source alone is compared by `=`: only then does
-- an index give the rows in this order. The page is found first, and then each of its rows is read by its id (OFFSET 0
-- keeps the planner from joining the two): where many rows are asked for and few are there, it would read the tables
-- of assets and reservations whole.
SELECT r.* FROM (
    SELECT generation_id, created_at FROM generations
    WHERE ($1::text IS NULL OR user_id = $1)
      AND ($2::text[] IS NULL OR CASE cardinality($2) WHEN 1 THEN stage = $2[1] ELSE stage = ANY ($2) END)
      AND ($3::text IS NULL OR operation = $3)
      AND ($4::text[] IS NULL OR CASE cardinality($4) WHEN 1 THEN source = $4[1] ELSE source = ANY ($4) END)
      AND ($5::timestamptz IS NULL OR created_at >= $5)
      AND ($6::text IS NULL OR (created_at, generation_id) < (
          SELECT l.created_at, l.generation_id FROM generations l
          WHERE l.generation_id = $6 AND ($1::text IS NULL OR l.user_id = $1)
            AND ($4::text[] IS NULL OR l.source = ANY ($4))))
    ORDER BY created_at DESC, generation_id DESC
    LIMIT $7) AS page
CROSS JOIN LATERAL (SELECT * FROM generations_read g WHERE g.generation_id = page.generation_id OFFSET 0) AS r
ORDER BY page.created_at DESC, page.generation_id DESC;

-- name: events
-- What happened, in order; another owner's looks like nothing.
SELECT e.seq, e.stage, e.at, e.data FROM events e JOIN generations g USING (generation_id)
WHERE e.generation_id = $1 AND e.seq > $2 AND ($3::text IS NULL OR g.user_id = $3)
ORDER BY e.seq;

-- name: hash_key
-- The deployment's key for keyed hashes.
SELECT value FROM deployment WHERE name = 'hash_key';
