-- name: require_owner
-- Nothing, for whoever owns the schema; anybody else is refused before anything is erased.
INSERT INTO erasures (pseudonym, counts) SELECT pseudonym, counts FROM erasures WHERE false;

-- name: generations
-- A user's generations, with what leads to their histories, and what became of their submissions.
SELECT g.generation_id, g.stage, g.runs, coalesce(s.state IN ('sending', 'unknown'), false) AS in_doubt
FROM generations g LEFT JOIN submissions s USING (generation_id)
WHERE g.user_id = $1 ORDER BY g.generation_id;

-- name: predictions
-- A user's predictions, strays as well, each with a time at which it was there.
SELECT s.prediction_id, s.base_url, s.accepted_at AS known_at
FROM submissions s JOIN generations g USING (generation_id)
WHERE g.user_id = $1 AND s.prediction_id IS NOT NULL
UNION ALL
SELECT b.prediction_id, b.base_url, b.ended_at
FROM bills b JOIN generations g USING (generation_id)
WHERE g.user_id = $1 AND NOT EXISTS (SELECT FROM submissions s WHERE s.prediction_id = b.prediction_id)
ORDER BY 1;

-- name: batches
-- A user's batches.
SELECT batch_id, state FROM batches WHERE user_id = $1 ORDER BY batch_id;

-- name: files
-- The files that rows of a user name.
SELECT unnest(ARRAY[key, poster_key] || extra_keys) AS key FROM assets WHERE user_id = $1
UNION SELECT key FROM media WHERE user_id = $1;

-- name: is_known
-- Whether anything of a user is left.
SELECT EXISTS (SELECT FROM generations WHERE user_id = $1) OR EXISTS (SELECT FROM batches WHERE user_id = $1)
    OR EXISTS (SELECT FROM balances WHERE user_id = $1) OR EXISTS (SELECT FROM media WHERE user_id = $1)
    OR EXISTS (SELECT FROM assets WHERE user_id = $1) OR EXISTS (SELECT FROM subscriptions WHERE user_id = $1)
    OR EXISTS (SELECT FROM api_keys WHERE user_id = $1);

-- name: lock_generations
-- The generations, held until the transaction ends: nobody moves one, or starts one over, meanwhile.
SELECT generation_id, stage FROM generations WHERE user_id = $1 ORDER BY generation_id FOR UPDATE;

-- name: lock_batches
-- The batches, held until the transaction ends.
SELECT batch_id, state FROM batches WHERE user_id = $1 ORDER BY batch_id FOR UPDATE;

-- name: lock_files
-- The inputs, held until the transaction ends.
SELECT key FROM media WHERE user_id = $1 ORDER BY media_id FOR UPDATE;

-- name: begin_erasing
-- In this transaction the evidence of attempts may be blanked.
SELECT set_config('stillmotion.erasing', 'on', true);

-- name: blank_events
-- That it happened, and when, stays.
UPDATE events SET data = '{}' WHERE generation_id = ANY ($1::text[]) AND data <> '{}';

-- name: blank_submissions
-- What was sent, and where the inputs lay. That stays where nobody knows the outcome: a prediction that turns up, and
-- its bill, are known by it. It bears the generation's digest and a nonce, nothing of the user.
UPDATE submissions
SET payload = NULL,
    staged_url = CASE WHEN state IN ('sending', 'unknown') THEN staged_url ELSE 'erased:' || generation_id END
WHERE generation_id = ANY ($1::text[]);

-- name: blank_attempts
-- What was seen of each attempt.
UPDATE submission_attempts SET evidence = '' WHERE generation_id = ANY ($1::text[]) AND evidence <> '';

-- name: forget_callbacks
-- How far receivers were told.
DELETE FROM callbacks WHERE generation_id = ANY ($1::text[]);

-- name: forget_findings
-- What the sweeper says of a user, or of assets that are gone; what is true still is found again.
DELETE FROM findings
WHERE starts_with(detail, 'of ' || $1 || ':')
   OR kind = 'lost_file' AND subject IN (SELECT asset_id FROM assets WHERE user_id = $1);

-- name: forget_assets
-- The library's rows; their files went before.
DELETE FROM assets WHERE user_id = $1;

-- name: forget_media
-- The inputs' rows; their files went before.
DELETE FROM media WHERE user_id = $1;

-- name: forget_notes
-- The sweeper's notes of inputs that are gone.
DELETE FROM deployment WHERE starts_with(name, 'sweep input inputs/' || $1 || '/');

-- name: forget_plan
-- Which plan the user was on.
DELETE FROM subscriptions WHERE user_id = $1;

-- name: blank_items
-- What the batches asked for.
UPDATE batch_items SET request = jsonb_build_object('operation', coalesce(request->>'operation', 'image-to-video'))
WHERE batch_id = ANY ($1::text[]);

-- name: blank_batches
-- One that was refused is told as cancelled: a refused one could be asked for again under its id.
UPDATE batches
SET user_id = $2, idempotency_key = 'erased:' || batch_id, request_hash = '',
    state = CASE state WHEN 'failed' THEN 'cancelled' ELSE state END,
    failure = failure || '{"message": "Erased.", "hint": ""}'
WHERE batch_id = ANY ($1::text[]);

-- name: blank_generations
-- The id stays, and is used: a request that derives it again is another owner's.
UPDATE generations
SET user_id = $2, idempotency_key = 'erased:' || generation_id, request_hash = '',
    request = jsonb_build_object('operation', operation), inputs = NULL, body = NULL, prompt = NULL, prompt_by = NULL,
    terms = terms || jsonb_build_object('user_hash', $3::text, 'parameters', '{}'::jsonb, 'callback', false),
    failure = failure || '{"message": "Erased.", "hint": ""}', warnings = '{}', runs = '{}'
WHERE generation_id = ANY ($1::text[]);

-- name: rename_balances
-- The amounts stay, and with them the ledger's sums.
UPDATE balances SET user_id = $2 WHERE user_id = $1;

-- name: record
-- That it was done, and how much.
INSERT INTO erasures (pseudonym, counts) VALUES ($1, $2);
