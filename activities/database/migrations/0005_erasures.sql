-- Erasing a user: what is left of them are amounts, under a pseudonym that leads nowhere.

-- Each erasure, without the user: when, the pseudonym that stands for them now, how much was erased.
CREATE TABLE erasures (
    pseudonym text PRIMARY KEY CHECK (pseudonym ~ '^erased_[a-z2-7]{26}$'),
    erased_at timestamptz NOT NULL DEFAULT now(),
    counts    jsonb NOT NULL  -- what → how many
);
GRANT SELECT ON erasures TO stillmotion_starter;

-- The evidence of an attempt may name what a user sent. An erasure blanks it; nothing else of an attempt ever changes.
CREATE FUNCTION refuse_change_but_erasure() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND current_setting('stillmotion.erasing', true) = 'on' AND NEW.evidence = ''
       AND (NEW.generation_id, NEW.attempt, NEW.state, NEW.at) = (OLD.generation_id, OLD.attempt, OLD.state, OLD.at) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
DROP TRIGGER append_only ON submission_attempts;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON submission_attempts
    FOR EACH ROW EXECUTE FUNCTION refuse_change_but_erasure();
