-- name: generations
-- Every generation, and what is known of its submission.
SELECT g.generation_id, g.user_id, g.idempotency_key, g.stage, g.prediction_id, g.failure,
       g.failure->>'kind' AS failed_by,
       s.state AS submission, s.staged_url, s.prediction_id AS accepted_id,
       (SELECT count(*) FROM submission_attempts t WHERE t.generation_id = g.generation_id) AS attempts
FROM generations g LEFT JOIN submissions s USING (generation_id) ORDER BY g.created_at;

-- name: holds
-- Every hold, counted from the ledger itself, and whether all bills of its generation were seen.
SELECT r.generation_id, r.state, r.quoted_usd_micros, r.videos,
       coalesce(l.reserves, 0) AS reserves, coalesce(l.ends, 0) AS ends, coalesce(l.house_ends, 0) AS house_ends,
       coalesce(l.left_reserved, 0) AS left_reserved, coalesce(l.of_user, 0) AS of_user,
       coalesce(l.of_house, 0) AS of_house, coalesce(b.charged, false) AS is_billed
FROM reservations r
LEFT JOIN (SELECT generation_id,
                  count(*) FILTER (WHERE kind = 'reserve') AS reserves,
                  count(*) FILTER (WHERE account = 'user' AND kind IN ('settle', 'release')) AS ends,
                  count(*) FILTER (WHERE account = 'house' AND kind = 'settle') AS house_ends,
                  sum(reserved_usd_micros)::bigint AS left_reserved,
                  (sum(settled_usd_micros) FILTER (WHERE account = 'user'))::bigint AS of_user,
                  (sum(settled_usd_micros) FILTER (WHERE account = 'house'))::bigint AS of_house
           FROM ledger GROUP BY generation_id) l USING (generation_id)
LEFT JOIN (SELECT generation_id, bool_and(charged_usd_micros IS NOT NULL) AS charged
           FROM bills GROUP BY generation_id) b USING (generation_id);

-- name: balances
-- Every balance beside the sums of its entries, and the limits that are in force for its user.
SELECT b.user_id, p.videos_limit, p.cost_limit_usd_micros,
       b.videos_reserved, b.videos_settled, b.reserved_usd_micros, b.settled_usd_micros,
       coalesce(sum(l.videos_reserved), 0)::bigint AS videos_reserved_sum,
       coalesce(sum(l.videos_settled), 0)::bigint AS videos_settled_sum,
       coalesce(sum(l.reserved_usd_micros), 0)::bigint AS reserved_sum,
       coalesce(sum(l.settled_usd_micros), 0)::bigint AS settled_sum
FROM balances b LEFT JOIN ledger l USING (balance_id)
LEFT JOIN subscriptions s USING (user_id) LEFT JOIN plans p ON p.plan = coalesce(s.plan, 'free')
GROUP BY b.balance_id, p.plan;

-- name: spending
-- The deployment's days and months beside the sums of their entries.
SELECT s.span, s.starts_on, s.reserved_usd_micros, s.settled_usd_micros,
       coalesce(sum(l.reserved_usd_micros), 0)::bigint AS reserved_sum,
       coalesce(sum(l.settled_usd_micros), 0)::bigint AS settled_sum
FROM spending s
LEFT JOIN reservations r
  ON s.starts_on = CASE s.span WHEN 'day' THEN r.spent_on ELSE date_trunc('month', r.spent_on)::date END
LEFT JOIN ledger l ON l.generation_id = r.generation_id
GROUP BY s.span, s.starts_on;

-- name: assets
-- Every asset; how many a generation has is for the checks to say.
SELECT generation_id, key, poster_key, extra_keys, facts->>'sha256' AS sha256 FROM assets;

-- name: batches
-- Every batch.
SELECT batch_id, state FROM batches;

-- name: open
-- Who has not ended.
SELECT generation_id, stage, prediction_id FROM generations
WHERE stage NOT IN ('completed', 'failed', 'cancelled');

-- name: last_sweep
-- What the sweeper's last round came to.
SELECT repaired::text, found::text, failed::text FROM sweeps ORDER BY ended_at DESC LIMIT 1;

-- name: bills_due
-- Bills that the next sweep has to read.
SELECT prediction_id FROM bills WHERE due_at <= now();
