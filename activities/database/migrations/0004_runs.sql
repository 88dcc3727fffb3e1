-- Which workflow runs have begun a generation, the last one last: an attempt of an ended run may arrive late, say from a
-- process that was frozen, and must not begin again what was ended since.
ALTER TABLE generations ADD COLUMN runs text[] NOT NULL DEFAULT '{}';
