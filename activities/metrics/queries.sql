-- name: ending
-- What a generation was, for its label values: a model is told by its terms, never by a caller's word.
SELECT operation, source, coalesce(terms->'quote'->>'model', 'none') AS model, clock_timestamp() - created_at AS lasted
FROM generations WHERE generation_id = $1;

-- name: open
-- What goes on, by where it is; of those alone, by the partial index.
SELECT stage, operation, source, coalesce(terms->'quote'->>'model', 'none') AS model, count(*) AS many,
       extract(epoch FROM now() - min(stage_at))::float8 AS oldest_s
FROM generations WHERE stage NOT IN ('completed', 'failed', 'cancelled') GROUP BY 1, 2, 3, 4;

-- name: spending
-- The deployment's day and month (UTC) that run, each by its key.
SELECT span, reserved_usd_micros, settled_usd_micros FROM spending
WHERE (span = 'day' AND starts_on = (now() AT TIME ZONE 'UTC')::date)
   OR (span = 'month' AND starts_on = date_trunc('month', now() AT TIME ZONE 'UTC')::date);

-- name: held
-- What is held, over all months: one row each.
SELECT coalesce(sum(reserved_usd_micros), 0)::bigint FROM spending WHERE span = 'month';

-- name: house
-- What the house paid in 30 days, less what came back, by the index of its entries.
SELECT coalesce(sum(settled_usd_micros), 0)::bigint FROM ledger
WHERE account = 'house' AND at > now() - interval '30 days';

-- name: house_paid
-- What the house ever paid, whatever came back: it only grows, so an increase is a loss.
SELECT coalesce(sum(settled_usd_micros), 0)::bigint FROM ledger WHERE account = 'house' AND settled_usd_micros > 0;

-- name: paused
-- For how many seconds submits have been paused; none = they are not.
SELECT extract(epoch FROM now() - value::timestamptz)::float8 FROM deployment WHERE name = 'paused';

-- name: findings
-- What waits for a person, by kind.
SELECT kind, count(*) AS many FROM findings GROUP BY kind;

-- name: sweep_age
-- Seconds since a sweep has ended; none = there was none.
SELECT extract(epoch FROM now() - ended_at)::float8 FROM sweeps ORDER BY ended_at DESC LIMIT 1;

-- name: telling
-- Callbacks under way, and those whose receiver fails.
SELECT count(*) AS many, count(*) FILTER (WHERE failures > 0) AS failing FROM callbacks WHERE state = 'delivering';
