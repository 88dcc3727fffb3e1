-- name: still
-- The picture that a generation is made of.
SELECT m.key, m.facts->>'mime_type' AS mime_type
FROM generations g
JOIN media m ON m.user_id = g.user_id
            AND m.media_id = coalesce(g.inputs->>'image', g.request->'image'->>'media_id')
WHERE g.generation_id = $1 AND g.user_id = $2 AND m.facts->>'kind' = 'image';

-- name: asked
-- What was asked for, and the media that it is made of: its addresses were copied to these.
SELECT request, coalesce(inputs, '{}') AS inputs FROM generations WHERE generation_id = $1 AND user_id = $2;
