-- name: subject
-- What a webhook is about: how far its generation is, the prediction that it has, and whose the named one is.
SELECT g.stage, s.prediction_id, o.generation_id AS owner
FROM generations g
LEFT JOIN submissions s USING (generation_id)
LEFT JOIN submissions o ON o.prediction_id = $2
WHERE g.generation_id = $1;
