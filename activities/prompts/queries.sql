-- name: stored
-- The prompt as it was made; by whom and with which warnings.
SELECT prompt_by, warnings FROM generations WHERE generation_id = $1;
