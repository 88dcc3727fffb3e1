-- name: place
-- Where a look stopped.
SELECT value FROM deployment WHERE name = 'sweep ' || $1;

-- name: leave
-- Where a look goes on.
INSERT INTO deployment (name, value) VALUES ('sweep ' || $1, $2)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: adopt_namespace
-- Where this database's workflows run: what the first sweep says, until an operator has it forgotten.
INSERT INTO deployment (name, value) VALUES ('temporal_namespace', $1) ON CONFLICT (name) DO NOTHING;

-- name: namespace
-- Where this database's workflows run.
SELECT value FROM deployment WHERE name = 'temporal_namespace';

-- name: upsert_findings
-- What was found now; what was known keeps the time when it was found first.
INSERT INTO findings (kind, subject, detail)
SELECT $1, subject, detail FROM unnest($2::text[], $3::text[]) AS seen (subject, detail)
ON CONFLICT (kind, subject) DO UPDATE SET detail = excluded.detail, seen_at = now();

-- name: forget_findings
-- What was not found this time, where it was looked for: among subjects $3, or all. Kept for a while after.
DELETE FROM findings
WHERE kind = $1 AND subject <> ALL ($2::text[]) AND ($3::text[] IS NULL OR subject = ANY ($3))
  AND seen_at <= now() - $4::interval;

-- name: forget_deleted_assets
-- Nobody misses the file of an asset that its owner has deleted.
DELETE FROM findings f USING assets a
WHERE f.kind = 'lost_file' AND a.asset_id = f.subject AND a.deleted_at IS NOT NULL;

-- name: count_findings
-- How many there are of each kind, with the one that is known longest.
SELECT DISTINCT ON (kind) kind, subject, detail, found_at, count(*) OVER (PARTITION BY kind) AS many
FROM findings ORDER BY kind, found_at, subject;

-- name: record_sweep
-- A sweep that has ended, once.
INSERT INTO sweeps (run_id, started_at, repaired, found, failed) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING RETURNING run_id;

-- name: forget_sweeps
-- Only the last ones are of interest.
DELETE FROM sweeps WHERE ended_at < now() - $1::interval;

-- name: last_sweep
-- The sweep that ended last.
SELECT run_id, started_at, ended_at, repaired, found, failed, now() - ended_at AS age
FROM sweeps ORDER BY ended_at DESC LIMIT 1;

-- name: quiet_batches
-- Open batches of some age, for a look whether they are being carried out.
SELECT batch_id FROM batches
WHERE state IN ('accepted', 'running') AND created_at < now() - $1::interval AND batch_id > $2
ORDER BY batch_id LIMIT $3;

-- name: lock_open_batch
-- Its state, held until the transaction ends; nothing where it has ended.
SELECT state FROM batches WHERE batch_id = $1 AND state IN ('accepted', 'running') FOR UPDATE;

-- name: quiet_generations
-- Those that have not moved for some time; an item that waits for its batch has no workflow yet.
SELECT generation_id, stage, last_seq FROM generations g
WHERE stage NOT IN ('completed', 'failed', 'cancelled') AND stage_at < now() - $1::interval AND generation_id > $2
  AND NOT (stage = 'accepted' AND EXISTS (
      SELECT FROM batch_items i JOIN batches b USING (batch_id)
      WHERE i.generation_id = g.generation_id AND b.state IN ('accepted', 'running')))
ORDER BY generation_id LIMIT $3;

-- name: lock_unmoved
-- A generation that is still where it was, held until the transaction ends, with what decides about it.
SELECT g.stage, g.terms, g.request ? 'callback_url' AS has_callback,
       EXISTS (SELECT FROM reservations r WHERE r.generation_id = g.generation_id) AS is_held,
       EXISTS (SELECT FROM submissions s
               WHERE s.generation_id = g.generation_id AND s.state IN ('sending', 'unknown', 'accepted')) AS may_be_paid
FROM generations g WHERE g.generation_id = $1 AND g.stage = $2 AND g.last_seq = $3 FOR UPDATE OF g;

-- name: forget_payload
-- What will never be posted; a sender that was held up finds nothing to send.
UPDATE submissions SET payload = NULL WHERE generation_id = $1;

-- name: known_predictions
-- Those that some generation follows, or whose bill is expected. One that was accepted after its generation's end is
-- neither; an end from before there were bills (migration 3) expects none.
SELECT s.prediction_id FROM submissions s JOIN generations g USING (generation_id)
WHERE s.prediction_id = ANY ($1::text[])
  AND (g.stage NOT IN ('failed', 'cancelled')
       OR EXISTS (SELECT FROM bills b WHERE b.prediction_id = s.prediction_id)
       OR g.stage_at < (SELECT applied_at FROM migrations WHERE number = 3));

-- name: by_staged_url
-- The generations whose inputs lie at these URLs, and whether the bill of what they follow is expected.
SELECT s.staged_url, s.generation_id, s.prediction_id, g.stage,
       EXISTS (SELECT FROM bills b WHERE b.prediction_id = s.prediction_id) AS is_billed
FROM submissions s JOIN generations g USING (generation_id) WHERE s.staged_url = ANY ($1::text[]);

-- name: ended_digests
-- Those of the digests in files' keys that stand for a generation which has ended, with the owner in its keys.
SELECT generation_digest(generation_id) AS digest, terms->>'user_hash' AS owner FROM generations
WHERE generation_digest(generation_id) = ANY ($1::text[]) AND stage IN ('completed', 'failed', 'cancelled');

-- name: named_keys
-- Those of the keys that an asset names.
SELECT key FROM assets WHERE key = ANY ($1::text[]) AND deleted_at IS NULL
UNION ALL
SELECT poster_key FROM assets WHERE poster_key = ANY ($1::text[]) AND deleted_at IS NULL
UNION ALL
SELECT unnest(extra_keys) FROM assets WHERE extra_keys && $1::text[] AND deleted_at IS NULL;

-- name: next_assets
-- The assets that have their turn.
SELECT asset_id, generation_id, key FROM assets
WHERE deleted_at IS NULL AND asset_id > $1 AND created_at < now() - interval '1 minute'
ORDER BY asset_id LIMIT $2;

-- name: unused_inputs
-- Inputs that nobody has used for some time, and that nothing which goes on was asked for with.
SELECT m.media_id FROM media m
WHERE m.used_at < now() - $1::interval
  AND NOT EXISTS (
      SELECT FROM generations g
      WHERE g.user_id = m.user_id AND g.stage NOT IN ('completed', 'failed', 'cancelled')
        AND (EXISTS (SELECT FROM jsonb_each_text(coalesce(g.inputs, '{}')) AS role WHERE role.value = m.media_id)
             OR jsonb_path_exists(g.request, '$.**.media_id ? (@ == $id)', jsonb_build_object('id', m.media_id))))
  AND NOT EXISTS (
      SELECT FROM batches b JOIN batch_items i USING (batch_id)
      WHERE b.user_id = m.user_id AND b.state IN ('accepted', 'running')
        AND jsonb_path_exists(i.request, '$.**.media_id ? (@ == $id)', jsonb_build_object('id', m.media_id)))
ORDER BY m.used_at LIMIT $2;

-- name: lock_input
-- An input that is unused still, held until the transaction ends.
SELECT key FROM media WHERE media_id = $1 AND used_at < now() - $2::interval FOR UPDATE;

-- name: forget_input
-- The row; its file is noted, and goes once that is committed.
WITH forgotten AS (DELETE FROM media WHERE media_id = $1 RETURNING key)
INSERT INTO deployment (name, value) SELECT 'sweep input ' || key, key FROM forgotten
ON CONFLICT (name) DO NOTHING;

-- name: forgotten_inputs
-- Files whose row is forgotten, and which are not deleted yet; whether a row has come back since.
SELECT d.value AS key, EXISTS (SELECT FROM media m WHERE m.key = d.value) AS is_back FROM deployment d
WHERE starts_with(d.name, 'sweep input ') ORDER BY d.name LIMIT $1;

-- name: forget_note
-- The file is deleted, or has a row again.
DELETE FROM deployment WHERE name = 'sweep input ' || $1;

-- name: stranded_holds
-- Holds whose generation has ended, or is none; whether its prediction may exist, or its video does.
SELECT r.generation_id, g.stage, r.quoted_usd_micros,
       EXISTS (SELECT FROM submissions s
               WHERE s.generation_id = r.generation_id AND s.state IN ('sending', 'unknown', 'accepted')) AS may_be_paid
FROM reservations r LEFT JOIN generations g USING (generation_id)
WHERE r.state = 'reserved' AND r.reserved_at < now() - $1::interval
  AND (g.stage IS NULL OR g.stage IN ('completed', 'failed', 'cancelled'))
ORDER BY r.reserved_at LIMIT $2;

-- name: unresolved
-- Submissions that have been waiting for a person.
SELECT generation_id, stage_at FROM generations
WHERE stage = 'unresolved' AND stage_at < now() - $1::interval ORDER BY stage_at LIMIT $2;

-- name: flagged_bills
-- Bills of some days that were not believed, or never came.
SELECT b.prediction_id, b.generation_id, b.flag, b.charged_usd_micros, r.quoted_usd_micros
FROM bills b JOIN reservations r USING (generation_id)
WHERE b.flag IS NOT NULL AND b.ended_at > now() - $1::interval ORDER BY b.ended_at LIMIT $2;

-- name: house_loss
-- What the house paid of late, less what came back.
SELECT coalesce(sum(settled_usd_micros), 0)::bigint FROM ledger
WHERE account = 'house' AND at > now() - $1::interval;
