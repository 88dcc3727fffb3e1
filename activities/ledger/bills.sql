-- name: to_ask
-- The prediction that a settlement asks about; nothing where its bill is expected already, or at another account.
-- An account is known by its base URL: a rotated key is the same account's.
SELECT s.prediction_id, r.reserved_at, now() AS now
FROM submissions s JOIN generations g USING (generation_id) JOIN reservations r USING (generation_id)
WHERE s.generation_id = $1 AND s.prediction_id IS NOT NULL
  AND g.terms->>'base_url' = $2
  AND NOT EXISTS (SELECT FROM bills b WHERE b.prediction_id = s.prediction_id AND NOT b.is_stray);

-- name: expect
-- The bill of a generation's own prediction, with what was read of it so far; nothing where none was accepted.
-- One that was taken for a stray before becomes its own.
INSERT INTO bills (prediction_id, generation_id, base_url, key_fingerprint, charged_usd_micros, refunded_usd_micros,
                   looks, read_at, due_at)
SELECT s.prediction_id, s.generation_id, g.terms->>'base_url', g.terms->>'key_fingerprint', $2::bigint, $3::bigint,
       CASE WHEN $2::bigint IS NULL THEN 0 ELSE 1 END, CASE WHEN $2::bigint IS NOT NULL THEN now() END,
       now() + $4::interval
FROM submissions s JOIN generations g USING (generation_id)
WHERE s.generation_id = $1 AND s.prediction_id IS NOT NULL AND g.terms IS NOT NULL
ON CONFLICT (prediction_id) DO UPDATE SET is_stray = false, ended_at = now(), due_at = excluded.due_at
WHERE bills.is_stray;

-- name: expect_stray
-- The bill of a prediction that nobody followed. It is the generation's own where the user was booked for a
-- submission whose prediction was not known.
INSERT INTO bills (prediction_id, generation_id, base_url, key_fingerprint, is_stray)
SELECT $2, r.generation_id, $3, $4,
       s.prediction_id IS DISTINCT FROM $2
       AND NOT (r.state = 'settled' AND s.prediction_id IS NULL
                AND NOT EXISTS (SELECT FROM bills b WHERE b.generation_id = r.generation_id AND NOT b.is_stray))
FROM reservations r LEFT JOIN submissions s USING (generation_id)
WHERE r.generation_id = $1
ON CONFLICT DO NOTHING RETURNING is_stray;

-- name: due
-- What is to be read at one account now, the longest due first.
SELECT b.prediction_id, b.generation_id, b.looks, b.charged_usd_micros IS NOT NULL AS has_row, b.ended_at,
       r.reserved_at, now() AS now
FROM bills b JOIN reservations r USING (generation_id)
WHERE b.base_url = $1 AND b.due_at <= now()
ORDER BY b.due_at, b.prediction_id LIMIT $2;

-- name: look
-- What one look found; a row that was seen once stays seen. Nothing where another reader was first.
UPDATE bills
SET charged_usd_micros = coalesce($3, charged_usd_micros),
    refunded_usd_micros = CASE WHEN $3::bigint IS NULL THEN refunded_usd_micros ELSE $4 END,
    looks = looks + 1, read_at = now(), due_at = $5
WHERE prediction_id = $1 AND looks = $2 RETURNING prediction_id;

-- name: defer
-- The provider could not be asked. Spread, so that what could not be read together comes in other company.
UPDATE bills SET due_at = now() + interval '5 minutes' + random() * interval '5 minutes'
WHERE prediction_id = ANY ($1) AND due_at <= now();

-- name: of_generation
-- Every bill of a generation. Only under the lock of its reservation.
SELECT prediction_id, is_stray, charged_usd_micros, refunded_usd_micros, flag, due_at
FROM bills WHERE generation_id = $1;

-- name: flag
-- What a person must look at, or nothing any more.
UPDATE bills SET flag = $2 WHERE prediction_id = $1;

-- name: booked
-- What stands in the books for a generation, and how its hold ended.
SELECT coalesce(sum(settled_usd_micros) FILTER (WHERE account = 'user'), 0)::bigint AS user_usd_micros,
       coalesce(sum(settled_usd_micros) FILTER (WHERE account = 'house'), 0)::bigint AS house_usd_micros,
       coalesce(sum(videos_settled), 0)::bigint AS videos,
       coalesce(bool_or(provisional), false) AS is_provisional,
       coalesce(bool_or(account = 'house' AND kind = 'settle'), false) AS is_lost,
       EXISTS (SELECT FROM reservations r JOIN submissions s USING (generation_id)
               WHERE r.generation_id = $1 AND s.prediction_id IS NULL AND r.closed_at < now() - $2::interval
                 AND NOT EXISTS (SELECT FROM bills b WHERE b.generation_id = $1 AND NOT b.is_stray)) AS is_unfound
FROM ledger WHERE generation_id = $1;

-- name: provisional_without_prediction
-- Whose user is booked for now, since the POST may have gone out, and of which nothing was found in time.
SELECT r.generation_id FROM reservations r JOIN submissions s USING (generation_id)
WHERE r.state = 'settled' AND s.prediction_id IS NULL AND r.closed_at < now() - $1::interval
  AND EXISTS (SELECT FROM ledger l WHERE l.generation_id = r.generation_id AND l.provisional)
  AND NOT EXISTS (SELECT FROM bills b WHERE b.generation_id = r.generation_id AND NOT b.is_stray)
  AND (SELECT sum(l.settled_usd_micros) + sum(l.videos_settled) FROM ledger l
       WHERE l.generation_id = r.generation_id AND l.account = 'user') > 0
ORDER BY r.closed_at, r.generation_id LIMIT $2;

-- name: tell
-- What readers of a generation without a video are told of the money.
UPDATE generations SET failure = jsonb_set(failure, '{money}', to_jsonb($2::text))
WHERE generation_id = $1 AND failure IS NOT NULL;
