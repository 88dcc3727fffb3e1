-- name: daily
-- What the videos of each day cost a user, by model and product. A day is the one that a video was asked for, in UTC,
-- as in the deployment's spending: what is settled later, or corrected by a bill, is added to it. The entries of a
-- generation are added up first, from the index of its period's balance.
WITH booked AS MATERIALIZED (
    SELECT l.generation_id, sum(l.videos_reserved) AS videos_reserved, sum(l.videos_settled) AS videos_settled,
           sum(l.reserved_usd_micros) AS reserved_usd_micros, sum(l.settled_usd_micros) AS settled_usd_micros
    FROM balances b JOIN ledger l ON l.balance_id = b.balance_id
    WHERE b.user_id = $1 AND upper(b.period) > $2::date::timestamp AT TIME ZONE 'UTC'
    GROUP BY l.generation_id
)
SELECT r.spent_on AS day, g.model, g.source, sum(b.videos_reserved)::bigint AS videos_reserved,
       sum(b.videos_settled)::bigint AS videos_settled, sum(b.reserved_usd_micros)::bigint AS reserved_usd_micros,
       sum(b.settled_usd_micros)::bigint AS settled_usd_micros
FROM booked b
JOIN reservations r ON r.generation_id = b.generation_id AND r.spent_on >= $2
JOIN generations g ON g.generation_id = b.generation_id
GROUP BY r.spent_on, g.model, g.source
HAVING sum(b.videos_reserved + b.videos_settled) <> 0 OR sum(b.reserved_usd_micros + b.settled_usd_micros) <> 0
ORDER BY r.spent_on, g.model, g.source;
