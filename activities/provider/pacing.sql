-- name: slow_down
-- Nobody submits to the account before then. A shorter wish doesn't end a longer one.
INSERT INTO pacing (account, not_before)
VALUES ($1, clock_timestamp() + $2::double precision * interval '1 second')
ON CONFLICT (account) DO UPDATE SET not_before = greatest(pacing.not_before, excluded.not_before);

-- name: pause
-- Until when the account is to be left alone, and how long that is; no row where it is over.
SELECT not_before, extract(epoch FROM not_before - clock_timestamp())::float8 AS left_s
FROM pacing WHERE account = $1 AND not_before > clock_timestamp();

-- name: lock_places
-- One at a time looks for a place at an account, until its transaction ends. The last lock of all.
SELECT pg_advisory_xact_lock(hashtextextended('places ' || $1, 0));

-- name: places_taken
-- Jobs that are being sent, may have been made, or are worked on. Whatever is parked, fetched or ended has left.
SELECT count(*) FROM submissions s JOIN generations g USING (generation_id)
WHERE s.base_url = $1 AND s.state IN ('sending', 'unknown', 'accepted') AND g.stage IN ('submitting', 'generating');
