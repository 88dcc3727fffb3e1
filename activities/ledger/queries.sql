-- name: plan
-- The user's plan, or the default one; no row where there is neither.
SELECT p.plan, p.title, p.videos_limit, p.cost_limit_usd_micros, p.fairness_weight, s.anchored_at
FROM (SELECT coalesce((SELECT plan FROM subscriptions WHERE user_id = $1), $2) AS plan) AS chosen
JOIN plans p USING (plan)
LEFT JOIN subscriptions s ON s.user_id = $1;

-- name: balance
-- The balance whose period holds a moment.
SELECT balance_id, lower(period) AS starts_at, upper(period) AS ends_at, videos_reserved, videos_settled,
       reserved_usd_micros, settled_usd_micros
FROM balances WHERE user_id = $1 AND period @> $2::timestamptz;

-- name: period
-- The month around a moment, counted from an anchor; a period that ended inside it cuts its start, and one that
-- begins inside it, opened by a transaction whose clock was ahead of ours, cuts its end.
SELECT greatest(s.starts_at, (SELECT max(upper(b.period)) FROM balances b
                              WHERE b.user_id = $1 AND upper(b.period) <= $3)) AS starts_at,
       least(s.ends_at, (SELECT min(lower(b.period)) FROM balances b
                         WHERE b.user_id = $1 AND lower(b.period) > $3)) AS ends_at
FROM (SELECT $2::timestamptz + n * interval '1 month' AS starts_at,
             $2::timestamptz + (n + 1) * interval '1 month' AS ends_at
      FROM (SELECT max(n) AS n FROM generate_series(0, 2400) n
            WHERE $2::timestamptz + n * interval '1 month' <= $3::timestamptz) AS months) AS s;

-- name: open_balance
-- A new period's row; nothing where another transaction opened it.
INSERT INTO balances (user_id, period) VALUES ($1, tstzrange($2, $3, '[)')) ON CONFLICT DO NOTHING;

-- name: lock_balance
-- Waits for whoever moves this balance. No stronger a lock: a new reservation refers to the row, and would wait for it
-- before it locks the spending that we hold already.
SELECT FROM balances WHERE balance_id = $1 FOR NO KEY UPDATE;

-- name: hold
-- Admission: takes one video and the cost within the plan that is in force now, or takes nothing; tells what it saw.
-- The balance was locked by an earlier statement: one that waits for a row sees other tables as they were before.
WITH in_force AS (
    SELECT title, videos_limit, cost_limit_usd_micros FROM plans
    WHERE plan = coalesce((SELECT plan FROM subscriptions WHERE user_id = $2), $3)
), taken AS (
    UPDATE balances SET videos_reserved = videos_reserved + 1, reserved_usd_micros = reserved_usd_micros + $4
    FROM in_force p
    WHERE balance_id = $1
      AND (p.videos_limit IS NULL OR videos_reserved + videos_settled + 1 <= p.videos_limit)
      AND (p.cost_limit_usd_micros IS NULL
           OR reserved_usd_micros + settled_usd_micros + $4 <= p.cost_limit_usd_micros)
    RETURNING balance_id
)
SELECT p.title, p.videos_limit, p.cost_limit_usd_micros, upper(b.period) AS ends_at, b.videos_reserved,
       b.videos_settled, b.reserved_usd_micros, b.settled_usd_micros, EXISTS (SELECT FROM taken) AS is_taken
FROM balances b LEFT JOIN in_force p ON true WHERE b.balance_id = $1;

-- name: open_spending
-- The rows of this day and this month.
INSERT INTO spending (span, starts_on) VALUES ('day', $1), ('month', date_trunc('month', $1::date)::date)
ON CONFLICT DO NOTHING;

-- name: lock_spending
-- The rows of a day and its month, in the order of the locks.
SELECT span FROM spending
WHERE (span = 'day' AND starts_on = $1) OR (span = 'month' AND starts_on = date_trunc('month', $1::date)::date)
ORDER BY span FOR NO KEY UPDATE;

-- name: spend
-- The deployment's cap of one span: takes the cost, or takes nothing.
UPDATE spending SET reserved_usd_micros = reserved_usd_micros + $3
WHERE span = $1
  AND starts_on = CASE $1 WHEN 'day' THEN $2::date ELSE date_trunc('month', $2::date)::date END
  AND ($4::bigint IS NULL OR reserved_usd_micros + settled_usd_micros + $3 <= $4)
RETURNING span;

-- name: reservation
-- The hold of a generation, locked until the transaction ends.
SELECT generation_id, balance_id, state, videos, quoted_usd_micros, spent_on
FROM reservations WHERE generation_id = $1 FOR UPDATE;

-- name: insert_reservation
-- The hold; nothing where there is one, or its tombstone.
INSERT INTO reservations (generation_id, balance_id, state, videos, quoted_usd_micros, spent_on)
VALUES ($1, $2, 'reserved', 1, $3, $4) ON CONFLICT DO NOTHING RETURNING generation_id;

-- name: insert_tombstone
-- A release that came before the reserve: it refuses the late one.
INSERT INTO reservations (generation_id, state, videos, quoted_usd_micros, spent_on, closed_at)
VALUES ($1, 'released', 0, 0, (now() AT TIME ZONE 'UTC')::date, now()) ON CONFLICT DO NOTHING RETURNING generation_id;

-- name: end_reservation
-- Settled or released, whichever comes first.
UPDATE reservations SET state = $2, closed_at = now() WHERE generation_id = $1 AND state = 'reserved';

-- name: end_hold
-- The hold leaves the balance; what is settled enters it.
UPDATE balances
SET videos_reserved = videos_reserved - $2, reserved_usd_micros = reserved_usd_micros - $3,
    videos_settled = videos_settled + $4, settled_usd_micros = settled_usd_micros + $5
WHERE balance_id = $1;

-- name: end_spending
-- The same for the deployment, in the day and the month of the hold, which are locked in this order: an update by
-- itself takes its rows as it finds them.
WITH locked AS (
    SELECT span, starts_on FROM spending
    WHERE (span = 'day' AND starts_on = $1) OR (span = 'month' AND starts_on = date_trunc('month', $1::date)::date)
    ORDER BY span FOR NO KEY UPDATE
)
UPDATE spending s
SET reserved_usd_micros = s.reserved_usd_micros - $2, settled_usd_micros = s.settled_usd_micros + $3
FROM locked WHERE s.span = locked.span AND s.starts_on = locked.starts_on;

-- name: enter
-- One movement.
INSERT INTO ledger (generation_id, account, kind, balance_id, videos_reserved, videos_settled,
                    reserved_usd_micros, settled_usd_micros, provisional)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: booked
-- What the user was booked for a generation.
SELECT coalesce(sum(settled_usd_micros), 0)::bigint FROM ledger
WHERE generation_id = $1 AND account = 'user';

-- name: submitted
-- Whether the one paid POST may have gone out.
SELECT EXISTS (SELECT FROM submissions WHERE generation_id = $1 AND state IN ('sending', 'unknown', 'accepted'));

-- name: plans
-- Every plan, the smallest first.
SELECT plan, title, videos_limit, cost_limit_usd_micros FROM plans
ORDER BY cost_limit_usd_micros NULLS LAST, plan;

-- name: assign
-- A user's plan; the anchor of their months stays.
INSERT INTO subscriptions (user_id, plan) VALUES ($1, $2)
ON CONFLICT (user_id) DO UPDATE SET plan = excluded.plan, changed_at = now();

-- name: spending_now
-- The deployment's spending of this day and month.
SELECT span, reserved_usd_micros + settled_usd_micros AS taken_usd_micros FROM spending
WHERE (span = 'day' AND starts_on = $1) OR (span = 'month' AND starts_on = date_trunc('month', $1::date)::date);

-- name: unbalanced
-- Balances that are not the sum of their ledger entries: there must be none.
SELECT b.balance_id, b.user_id FROM balances b
LEFT JOIN (SELECT balance_id, sum(videos_reserved) AS vr, sum(videos_settled) AS vs,
                  sum(reserved_usd_micros) AS ur, sum(settled_usd_micros) AS us
           FROM ledger GROUP BY balance_id) l USING (balance_id)
WHERE (b.videos_reserved, b.videos_settled, b.reserved_usd_micros, b.settled_usd_micros)
   IS DISTINCT FROM (coalesce(l.vr, 0), coalesce(l.vs, 0), coalesce(l.ur, 0), coalesce(l.us, 0));

-- name: unbalanced_spending
-- Days and months whose spending is not the sum of the entries of their reservations: there must be none.
SELECT span, starts_on
FROM (SELECT spans.span,
             CASE spans.span WHEN 'day' THEN r.spent_on ELSE date_trunc('month', r.spent_on)::date END AS starts_on,
             sum(l.reserved_usd_micros) AS ur, sum(l.settled_usd_micros) AS us
      FROM ledger l JOIN reservations r USING (generation_id) CROSS JOIN (VALUES ('day'), ('month')) AS spans (span)
      GROUP BY 1, 2) AS sums
FULL JOIN spending s USING (span, starts_on)
WHERE (coalesce(s.reserved_usd_micros, 0), coalesce(s.settled_usd_micros, 0))
   IS DISTINCT FROM (coalesce(ur, 0), coalesce(us, 0));

-- name: usage_by_model
-- What each model and source has of a balance; holds that were given back leave nothing. A generation's entries are
-- added up first: it is looked up once then, and the index alone gives them.
WITH booked AS MATERIALIZED (
    SELECT generation_id, sum(videos_reserved) AS videos_reserved, sum(videos_settled) AS videos_settled,
           sum(reserved_usd_micros) AS reserved_usd_micros, sum(settled_usd_micros) AS settled_usd_micros
    FROM ledger WHERE balance_id = $1 GROUP BY generation_id
)
SELECT g.model, g.source, sum(b.videos_reserved)::bigint AS videos_reserved,
       sum(b.videos_settled)::bigint AS videos_settled, sum(b.reserved_usd_micros)::bigint AS reserved_usd_micros,
       sum(b.settled_usd_micros)::bigint AS settled_usd_micros
FROM booked b JOIN generations g USING (generation_id)
GROUP BY g.model, g.source
HAVING sum(b.videos_reserved + b.videos_settled) <> 0 OR sum(b.reserved_usd_micros + b.settled_usd_micros) <> 0
ORDER BY sum(b.reserved_usd_micros + b.settled_usd_micros) DESC, g.model, g.source;
