-- name: insert
-- A new batch; nothing where its owner's key is known.
INSERT INTO batches (batch_id, user_id, idempotency_key, request_hash, source, max_parallel, max_cost_usd_micros, redo_of)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING
RETURNING batch_id;

-- name: lock
-- A batch, held until the transaction ends.
SELECT batch_id, user_id, request_hash, source, max_parallel, max_cost_usd_micros, state, created_at
FROM batches WHERE batch_id = $1 FOR UPDATE;

-- name: revive
-- A batch that was refused as a whole may be asked for again under its key, also with other items.
UPDATE batches
SET request_hash = $2, source = $3, max_parallel = $4, max_cost_usd_micros = $5, redo_of = $6, state = 'accepted',
    failure = NULL, completed_at = NULL, created_at = now()
WHERE batch_id = $1;

-- name: forget_items
-- What a refused batch had asked for.
DELETE FROM batch_items WHERE batch_id = $1;

-- name: insert_items
-- The items in their order.
INSERT INTO batch_items (batch_id, position, generation_id, request)
SELECT $1, n, g, r FROM unnest($2::text[], $3::jsonb[]) WITH ORDINALITY AS items (g, r, n);

-- name: requests
-- What is asked for, in order.
SELECT position, generation_id, request FROM batch_items WHERE batch_id = $1 ORDER BY position;

-- name: reserved_before
-- The items that another key, or an earlier batch, has made: nothing is held for them again.
SELECT i.position FROM batch_items i JOIN reservations r USING (generation_id) WHERE i.batch_id = $1;

-- name: reserved
-- Which of these generations have a reservation, held or ended.
SELECT generation_id FROM reservations WHERE generation_id = ANY ($1::text[]);

-- name: set_made
-- The items for which this batch has claimed and held.
UPDATE batch_items SET is_made = true WHERE batch_id = $1 AND position = ANY ($2::integer[]);

-- name: set_running
-- The whole is reserved.
UPDATE batches SET state = 'running', failure = NULL, completed_at = NULL WHERE batch_id = $1;

-- name: totals
-- How many items, and what is quoted for those that this batch made.
SELECT count(*) AS items, coalesce(sum(r.quoted_usd_micros) FILTER (WHERE i.is_made), 0)::bigint AS quoted_usd_micros
FROM batch_items i LEFT JOIN reservations r USING (generation_id) WHERE i.batch_id = $1;

-- name: window
-- What waits, is active, is parked; what is accepted up to position $2 was started by who asks. The positions $5
-- were lost: the rows go on showing where they were.
SELECT count(*) FILTER (WHERE g.stage = 'accepted' AND i.position > $2) AS waiting,
       count(*) FILTER (WHERE g.stage = ANY ($3::text[])) AS parked,
       count(*) FILTER (WHERE g.stage <> ALL ($3::text[] || $4::text[])
                          AND (g.stage <> 'accepted' OR i.position <= $2)) AS active
FROM batch_items i JOIN generations g USING (generation_id)
WHERE i.batch_id = $1 AND i.position <> ALL ($5::integer[]);

-- name: waiting
-- The next items that wait for their start.
SELECT i.position, i.generation_id, g.operation
FROM batch_items i JOIN generations g USING (generation_id)
WHERE i.batch_id = $1 AND i.position > $2 AND g.stage = 'accepted'
ORDER BY i.position LIMIT $3;

-- name: started
-- The next items of this batch's making that have not ended.
SELECT i.position, i.generation_id, g.operation
FROM batch_items i JOIN generations g USING (generation_id)
WHERE i.batch_id = $1 AND i.position > $2 AND i.is_made AND g.stage <> ALL ($4::text[])
ORDER BY i.position LIMIT $3;

-- name: never_started
-- What is left of this batch's making that nobody started.
SELECT i.generation_id
FROM batch_items i JOIN generations g USING (generation_id)
WHERE i.batch_id = $1 AND i.position > $2 AND i.is_made AND g.stage = 'accepted'
ORDER BY i.position;

-- name: untold
-- The next items of this batch's making that were cancelled and whose receivers nobody tells.
SELECT i.position, i.generation_id
FROM batch_items i JOIN generations g USING (generation_id)
WHERE i.batch_id = $1 AND i.position > $2 AND i.is_made AND g.stage = 'cancelled' AND g.request ? 'callback_url'
  AND NOT EXISTS (SELECT FROM callbacks c WHERE c.generation_id = i.generation_id)
ORDER BY i.position LIMIT $3;

-- name: start_failed
-- Nobody took the start. A workflow that did begin all the same goes on from here.
UPDATE batches SET state = 'failed', failure = $2, completed_at = now() WHERE batch_id = $1 AND state = 'accepted';

-- name: close
-- How the batch ended; the first end stays.
UPDATE batches SET state = $2, failure = $3, completed_at = now()
WHERE batch_id = $1 AND state IN ('accepted', 'running');

-- name: ends
-- How its items ended; one of the lost positions $2 that has not ended counts as failed.
SELECT count(*) FILTER (WHERE g.stage = 'completed') AS completed,
       count(*) FILTER (WHERE g.stage = 'failed'
                           OR (i.position = ANY ($2::integer[]) AND g.stage <> ALL ($3::text[]))) AS failed,
       count(*) FILTER (WHERE g.stage = 'cancelled') AS cancelled
FROM batch_items i JOIN generations g USING (generation_id) WHERE i.batch_id = $1;

-- name: ids_by_prefix
-- Up to two, so that an ambiguous beginning shows.
SELECT batch_id FROM batches
WHERE starts_with(batch_id, $1) AND ($2::text IS NULL OR user_id = $2)
ORDER BY batch_id LIMIT 2;

-- name: list
-- Newest first, with the counts of their items; each filter off where NULL; $6 is the last one of the page before, and
-- nothing where it is another owner's or source's: nobody is told when that was made.
SELECT b.batch_id, b.user_id, b.source, b.state, b.max_parallel, b.max_cost_usd_micros, b.redo_of, b.failure,
       b.created_at, b.completed_at, c.*
FROM (SELECT * FROM batches
      WHERE ($1::text IS NULL OR batch_id = $1) AND ($2::text IS NULL OR user_id = $2)
        AND ($5::text[] IS NULL OR source = ANY ($5))
        AND ($6::text IS NULL OR (created_at, batch_id) < (
            SELECT l.created_at, l.batch_id FROM batches l
            WHERE l.batch_id = $6 AND ($2::text IS NULL OR l.user_id = $2)
              AND ($5::text[] IS NULL OR l.source = ANY ($5))))
      ORDER BY created_at DESC, batch_id DESC LIMIT $3) AS b
CROSS JOIN LATERAL (
    SELECT count(*) AS size,
           count(*) FILTER (WHERE g.stage IS NULL OR g.stage = 'accepted') AS waiting,
           count(*) FILTER (WHERE g.stage = ANY ($4::text[])) AS parked,
           count(*) FILTER (WHERE g.stage = 'completed') AS completed,
           count(*) FILTER (WHERE g.stage = 'failed') AS failed,
           count(*) FILTER (WHERE g.stage = 'cancelled') AS cancelled,
           coalesce(sum(r.quoted_usd_micros) FILTER (WHERE i.is_made), 0)::bigint AS quoted_usd_micros,
           coalesce(sum((SELECT sum(l.settled_usd_micros) FROM ledger l
                         WHERE l.generation_id = i.generation_id AND l.account = 'user' AND l.kind <> 'reserve'))
                    FILTER (WHERE i.is_made), 0)::bigint AS cost_usd_micros
    FROM batch_items i
    LEFT JOIN generations g USING (generation_id)
    LEFT JOIN reservations r USING (generation_id)
    WHERE i.batch_id = b.batch_id) AS c
ORDER BY b.created_at DESC, b.batch_id DESC;

-- name: items
-- The items with what became of them, in order.
SELECT i.position, i.generation_id, i.request, g.stage, g.prompt, g.failure, g.quoted_usd_micros, g.reservation,
       g.settled_usd_micros, g.asset_id, g.key, g.facts, g.deleted_at, g.terms
FROM batch_items i
JOIN batches b USING (batch_id)
LEFT JOIN generations_read g USING (generation_id)
WHERE i.batch_id = $1 AND ($2::text IS NULL OR b.user_id = $2)
ORDER BY i.position;
