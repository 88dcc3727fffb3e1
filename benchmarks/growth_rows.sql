-- name: people
-- Everybody who made something, on a plan without limits.
INSERT INTO subscriptions (user_id, plan, anchored_at)
SELECT user_id, $2, now() - interval '1 year' FROM unnest($1::text[]) AS user_id;

-- name: balances
-- A period per month of the year that the generations are spread over.
INSERT INTO balances (user_id, period)
SELECT user_id, tstzrange(starts_at, starts_at + interval '1 month', '[)')
FROM unnest($1::text[]) AS user_id,
     generate_series(date_trunc('month', now()) - interval '12 months', date_trunc('month', now()), '1 month')
         AS starts_at;

-- name: wanted
-- Who made how many: one row per generation, evenly over the last year, in the order of time; no two users at once. Ten
-- of each user have what is looked for: they are the rare ones among 10,000, and all that there are among 10. Two words
-- are neither rare nor frequent where there are many: one in 12 and one in 33 has them.
CREATE TABLE wanted AS
SELECT user_id, n,
       'gen_' || substr(md5(user_id || ':' || n), 1, 26) AS generation_id,
       'ast_' || substr(md5('asset:' || user_id || ':' || n), 1, 26) AS asset_id,
       now() - interval '360 days' * (1 - n::float8 / made) - interval '1 minute' * (hashtext(user_id) & 1023)
           AS created_at,
       n % greatest(1, made / 10) = made / 20 % greatest(1, made / 10) AS is_rare,
       -- One of the small users' ten, and ten of the large one's ten thousand.
       n % greatest(10, made / 10) = greatest(10, made / 10) / 2 AS is_odd,
       CASE WHEN made <= 10 OR n % 12 = 5 THEN ' buoy' ELSE '' END
           || CASE WHEN made <= 10 OR n % 33 = 5 THEN ' gull' ELSE '' END AS scattered
FROM unnest($1::text[], $2::bigint[]) AS users (user_id, made), generate_series(1, made) AS n
ORDER BY created_at;

-- name: generations
-- Each as the sample stands, which the real admission has made. The odd ones failed, of another product and operation.
INSERT INTO generations (generation_id, user_id, idempotency_key, request_hash, request, operation, source, model,
                         stage, stage_at, last_seq, inputs, terms, body, prompt, prompt_by, prediction_id, failure,
                         created_at, completed_at, runs)
SELECT w.generation_id, w.user_id, 'key-' || w.n, s.request_hash, s.request,
       CASE WHEN w.is_odd THEN 'talking-avatar' ELSE 'image-to-video' END,
       CASE WHEN w.is_odd THEN 'podcast_maker' ELSE 'video_studio' END, s.model,
       CASE WHEN w.is_odd THEN 'failed' ELSE 'completed' END, w.created_at + interval '2 minutes', 10, s.inputs,
       s.terms || jsonb_build_object('generation_id', w.generation_id), s.body,
       'a slow zoom over the harbour', 'caller', 'pred-' || w.generation_id,
       CASE WHEN w.is_odd THEN $2::jsonb END, w.created_at, w.created_at + interval '2 minutes',
       ARRAY['run-' || w.generation_id]
FROM wanted w, (SELECT * FROM generations WHERE generation_id = $1) AS s
ORDER BY w.created_at;

-- name: events
-- The nine steps of each, ten seconds apart.
INSERT INTO events (generation_id, seq, stage, at, data)
SELECT w.generation_id, e.seq, e.stage, w.created_at + e.seq * interval '10 seconds', '{}'
FROM wanted w, unnest(ARRAY['accepted', 'reserving', 'prompting', 'staging', 'submitting', 'generating',
                            'downloading', 'saving', 'settling', 'completed']) WITH ORDINALITY AS e (stage, seq)
ORDER BY w.created_at, e.seq;

-- name: reservations
-- All settled, in the period of their day.
INSERT INTO reservations (generation_id, balance_id, state, videos, quoted_usd_micros, spent_on, reserved_at, closed_at)
SELECT w.generation_id, b.balance_id, 'settled', 1, 500000, w.created_at::date, w.created_at, w.created_at
FROM wanted w JOIN balances b ON b.user_id = w.user_id AND b.period @> w.created_at
ORDER BY w.created_at;

-- name: ledger
-- Two entries each: the hold, and its end.
INSERT INTO ledger (generation_id, account, kind, balance_id, videos_reserved, videos_settled, reserved_usd_micros,
                    settled_usd_micros, at)
SELECT r.generation_id, 'user', e.kind, r.balance_id, e.sign, CASE e.sign WHEN -1 THEN 1 ELSE 0 END, e.sign * 500000,
       CASE e.sign WHEN -1 THEN 500000 ELSE 0 END, r.reserved_at
FROM reservations r JOIN wanted USING (generation_id), (VALUES ('reserve', 1), ('settle', -1)) AS e (kind, sign)
ORDER BY r.reserved_at, e.sign DESC;

-- name: settled
-- The balances are the sums of their entries.
UPDATE balances b SET videos_settled = made.videos, settled_usd_micros = made.usd_micros
FROM (SELECT balance_id, sum(videos_settled) AS videos, sum(settled_usd_micros) AS usd_micros
      FROM ledger GROUP BY balance_id) AS made
WHERE b.balance_id = made.balance_id AND b.videos_settled = 0;

-- name: submissions
-- Each was accepted at its first attempt.
INSERT INTO submissions (generation_id, state, provider_path, base_url, staged_url, attempts, sending_at, send_by,
                         prediction_id, accepted_at)
SELECT generation_id, 'accepted', 'vendor/model', 'http://127.0.0.1', 'http://127.0.0.1/' || generation_id, 1,
       created_at, created_at, 'pred-' || generation_id, created_at
FROM wanted ORDER BY created_at;

-- name: attempts
-- What the attempt did.
INSERT INTO submission_attempts (generation_id, attempt, state, at)
SELECT generation_id, 1, e.state, created_at FROM wanted, (VALUES ('sending'), ('accepted')) AS e (state)
ORDER BY created_at;

-- name: bills
-- Read for the last time.
INSERT INTO bills (prediction_id, generation_id, base_url, key_fingerprint, charged_usd_micros, looks, ended_at,
                   read_at, due_at)
SELECT 'pred-' || generation_id, generation_id, 'http://127.0.0.1', '000000000000', 500000, 4, created_at,
       created_at, NULL
FROM wanted ORDER BY created_at;

-- name: assets
-- One each. `zoom` stands in all of them, `lighthouse` in ten of each user, a word of its own in each.
INSERT INTO assets (asset_id, generation_id, user_id, source, operation, model, key, poster_key, facts, title,
                    description, prompt, tags, created_at)
SELECT w.asset_id, w.generation_id, w.user_id, g.source, g.operation, g.model, 'outputs/' || w.generation_id || '.mp4',
       'posters/' || w.generation_id || '.jpg', $1::jsonb, 'Video ' || w.n,
       'word' || w.n || CASE WHEN w.is_rare THEN ' lighthouse' ELSE ' harbour' END || w.scattered, g.prompt,
       ARRAY['video', CASE WHEN w.is_rare THEN 'scene_3' ELSE 'scene_1' END], w.created_at
FROM wanted w JOIN generations g USING (generation_id)
ORDER BY w.created_at;

-- name: media
-- The picture that each user's next request is made of.
INSERT INTO media (media_id, user_id, key, facts)
SELECT media_id, user_id, 'inputs/' || media_id, $3::jsonb
FROM unnest($1::text[], $2::text[]) AS pictures (media_id, user_id);

-- name: oldest
-- The second oldest generation of each user, and its asset: after it comes the last page.
SELECT user_id, generation_id, asset_id
FROM (SELECT g.user_id, generation_id, asset_id,
             row_number() OVER (PARTITION BY g.user_id ORDER BY g.created_at, generation_id) AS n
      FROM generations g LEFT JOIN assets USING (generation_id)) AS ranked
WHERE n = 2;
