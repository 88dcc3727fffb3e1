-- name: prepare
-- What will be posted. A second staging of the same generation is not taken.
INSERT INTO submissions (generation_id, state, provider_path, base_url, staged_url, payload)
VALUES ($1, 'prepared', $2, $3, $4, $5)
ON CONFLICT (generation_id) DO NOTHING RETURNING generation_id;

-- name: read
-- The row of a generation.
SELECT generation_id, state, provider_path, base_url, staged_url, payload, attempts, sending_at, send_by,
       proofs, prediction_id, accepted_at, now() AS now
FROM submissions WHERE generation_id = $1;

-- name: sending
-- From here on a prediction may exist.
UPDATE submissions
SET state = 'sending', attempts = attempts + 1, sending_at = now(), proofs = 0,
    send_by = now() + $2::double precision * interval '1 second'
WHERE generation_id = $1 AND state IN ('prepared', 'rejected')
RETURNING attempts;

-- name: accepted
-- The provider has the job. The body is not needed any more.
UPDATE submissions SET state = 'accepted', prediction_id = $2, accepted_at = now(), payload = NULL
WHERE generation_id = $1 AND state <> 'accepted' RETURNING attempts;

-- name: doubted
-- Rejected, or nobody knows; never out of accepted.
UPDATE submissions SET state = $2 WHERE generation_id = $1 AND state IN ('sending', 'unknown')
RETURNING attempts;

-- name: attempt
-- One step of one attempt.
INSERT INTO submission_attempts (generation_id, attempt, state, evidence) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING;

-- name: proof
-- One more listing that did not have it.
UPDATE submissions SET proofs = proofs + 1 WHERE generation_id = $1 RETURNING proofs;

-- name: try_lock
-- The sender's lock: held by the session from before SENDING until the outcome is written.
SELECT pg_try_advisory_lock(hashtextextended('submission ' || $1, 0));

-- name: accepted_since
-- Predictions of ours that a listing from a moment on must show. By when they were sent: one that was
-- adopted late was made long before, and need not stand in the listing.
SELECT s.prediction_id FROM submissions s JOIN generations g USING (generation_id)
WHERE s.base_url = $1 AND s.sending_at >= $2 AND s.accepted_at < now() - interval '1 second'
  AND g.stage NOT IN ('cancelled', 'failed');

-- name: owner_of
-- Whose a prediction is.
SELECT generation_id FROM submissions WHERE prediction_id = $1;
