-- name: told
-- The events of these generations from a number on each, of those that are followed: by name, or as their users'.
-- What their progress is made of stands beside each, as it was then.
SELECT e.event_id, e.generation_id, e.seq, e.stage, e.at, e.data -> 'failure' AS failure, g.user_id, g.source,
       g.created_at, (g.terms -> 'quote' ->> 'expected_s')::integer AS expected_s,
       (SELECT min(p.at) FROM events p
        WHERE p.generation_id = e.generation_id AND p.seq <= e.seq AND p.stage = 'generating') AS generating_since,
       (SELECT min(p.at) FROM events p
        WHERE p.generation_id = e.generation_id AND p.seq <= e.seq AND p.stage = 'downloading') AS downloading_since
FROM unnest($1::text[], $2::integer[]) AS n (generation_id, seq)
JOIN events e ON e.generation_id = n.generation_id AND e.seq >= n.seq
JOIN generations g ON g.generation_id = n.generation_id
WHERE g.generation_id = ANY ($3::text[]) OR g.user_id = ANY ($4::text[])
ORDER BY e.event_id;

-- name: recent
-- Where to read on with what users have: at the first event since a moment; where a generation has not ended, at its
-- last event at least. The newest thousand of each user are looked at.
SELECT g.generation_id,
       coalesce((SELECT min(e.seq) FROM events e WHERE e.generation_id = g.generation_id AND e.at >= $2), g.last_seq)
           AS seq
FROM unnest($1::text[]) AS u (user_id)
CROSS JOIN LATERAL (
    SELECT generation_id, last_seq, stage, stage_at FROM generations
    WHERE user_id = u.user_id
    ORDER BY created_at DESC, generation_id DESC LIMIT 1000) AS g
WHERE g.stage_at >= $2 OR g.stage NOT IN ('completed', 'failed', 'cancelled');

-- name: moment
-- When an event was written, or the last one before it where it is gone.
SELECT at FROM events WHERE event_id <= $1 ORDER BY event_id DESC LIMIT 1;
