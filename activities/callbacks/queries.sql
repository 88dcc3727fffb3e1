-- name: has_secret
-- Since when a source has its secret; the starter's role may know no more of it.
SELECT changed_at FROM callback_secrets WHERE source = $1;

-- name: add_secret
-- The first secret of a source; nothing where it has one.
INSERT INTO callback_secrets (source, secret) VALUES ($1, $2)
ON CONFLICT (source) DO NOTHING RETURNING previous_expires_at;

-- name: rotate_secret
-- A new secret; the one before goes on signing for a while.
INSERT INTO callback_secrets (source, secret) VALUES ($1, $2)
ON CONFLICT (source) DO UPDATE
SET secret = excluded.secret, previous = callback_secrets.secret,
    previous_expires_at = now() + $3::interval, changed_at = now()
RETURNING previous_expires_at;

-- name: secrets
-- What signs for a source now.
SELECT secret, CASE WHEN previous_expires_at > now() THEN previous END AS previous
FROM callback_secrets WHERE source = $1;

-- name: open
-- Somebody tells the receiver from now on; one that was given up starts with a clean slate.
INSERT INTO callbacks AS c (generation_id)
SELECT generation_id FROM generations WHERE generation_id = $1 AND request ? 'callback_url'
ON CONFLICT (generation_id) DO UPDATE
SET state = 'delivering', changed_at = now(),
    failures = CASE WHEN c.state = 'delivering' THEN c.failures ELSE 0 END,
    failing_since = CASE WHEN c.state = 'delivering' THEN c.failing_since END
RETURNING generation_id;

-- name: receiver
-- Who is told, of what, and how far they were told.
SELECT g.generation_id, g.operation, g.source, g.request->>'callback_url' AS url,
       g.request->>'idempotency_key' AS idempotency_key, c.delivered_seq
FROM callbacks c JOIN generations g USING (generation_id) WHERE generation_id = $1;

-- name: untold
-- The events that the receiver doesn't know, in order.
SELECT seq, stage, at, data FROM events WHERE generation_id = $1 AND seq > $2 ORDER BY seq;

-- name: advance
-- The receiver took an event; nothing where another worker told it meanwhile.
UPDATE callbacks SET delivered_seq = $2, failures = 0, failing_since = NULL, evidence = '', changed_at = now()
WHERE generation_id = $1 AND delivered_seq < $2 RETURNING delivered_seq;

-- name: finish
-- All is told; nothing where the generation goes on.
UPDATE callbacks c SET state = 'delivered', changed_at = now()
FROM generations g
WHERE c.generation_id = $1 AND g.generation_id = c.generation_id AND c.delivered_seq = g.last_seq
  AND g.stage = ANY ($2)
RETURNING c.delivered_seq;

-- name: fail
-- The receiver did not take the event after $3; nothing where another worker told it meanwhile.
UPDATE callbacks SET failures = failures + 1, failing_since = coalesce(failing_since, now()), evidence = $2,
                     changed_at = now()
WHERE generation_id = $1 AND delivered_seq = $3 RETURNING delivered_seq, failures, failing_since, evidence;

-- name: give_up
-- The receiver is told no more; repeated, it says the same.
UPDATE callbacks c SET state = 'given_up', evidence = $2, changed_at = now()
FROM generations g WHERE c.generation_id = $1 AND g.generation_id = c.generation_id
RETURNING g.last_seq - c.delivered_seq AS untold;

-- name: list
-- The latest first, each filter off where NULL.
SELECT c.generation_id, g.user_id, g.source, g.request->>'callback_url' AS url, c.state, c.delivered_seq,
       g.last_seq, c.failures, c.failing_since, c.evidence, c.changed_at
FROM callbacks c JOIN generations g USING (generation_id)
WHERE ($1::text IS NULL OR g.user_id = $1) AND ($2::text IS NULL OR c.state = $2)
  AND ($3::text IS NULL OR c.generation_id = $3)
ORDER BY c.changed_at DESC, c.generation_id LIMIT $4;

-- name: wants_callbacks
-- Whether this owner's generation has a receiver.
SELECT request ? 'callback_url' FROM generations
WHERE generation_id = $1 AND ($2::text IS NULL OR user_id = $2);

-- name: given_up_of_late
-- How many receivers were given up since, and not told again.
SELECT count(*) FROM callbacks WHERE state = 'given_up' AND changed_at > now() - $1::interval;
