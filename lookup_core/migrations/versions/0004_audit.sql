-- The audit log as a Merkle log: dense numbers in the order of commits, monthly partitions, tiles, signed checkpoints.
-- What was written before is kept, in its order and with a salt of its own.
CREATE TEMP TABLE written_before ON COMMIT DROP AS
    SELECT row_number() OVER (ORDER BY entry_id) - 1 AS entry_id, uuid_send(gen_random_uuid()) AS salt, at, revision,
           request_id, actor, action, subject, origin, reason, correlation_id
    FROM register.audit_entry;
DROP TABLE register.audit_entry;

-- One row: how many entries there are, and which log this is. Locked after the revision's counter, so the last of all.
CREATE TABLE register.audit_head (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    size      bigint NOT NULL CHECK (size >= 0),
    origin    text                                  -- the name it signs under; given once
);

-- The seed's ExclusionAuditLog: who, what, when, where, why; ids only, never a name or a number. `entry_id` is the leaf
-- of the Merkle log, from 0. The canonical bytes of an entry are its columns from `salt` on, each with its length
-- (lookup_core/domain/audit_entry.py); nothing is stored twice, so nothing can differ from what was hashed.
CREATE TABLE register.audit_entry (
    entry_id       bigint NOT NULL,
    salt           bytea NOT NULL CHECK (length(salt) = 16),
    at             timestamptz NOT NULL,
    revision       bigint,
    request_id     uuid,
    actor          text NOT NULL,
    action         text NOT NULL,
    subject        text NOT NULL,
    origin         text NOT NULL,
    reason         text NOT NULL,
    correlation_id text NOT NULL,
    PRIMARY KEY (entry_id, at)                      -- `at` because partitions go by it; audit_head makes the number unique
) PARTITION BY RANGE (at);
CREATE INDEX audit_entry_subject ON register.audit_entry (subject, entry_id);

-- 256 hashes of one level in a row, as C2SP tlog-tiles has it; full tiles only. `root` is what the level above holds.
CREATE TABLE register.audit_tile (
    level  smallint NOT NULL CHECK (level BETWEEN 0 AND 7),
    tile   bigint NOT NULL CHECK (tile >= 0),
    hashes bytea NOT NULL CHECK (length(hashes) = 8192),
    root   bytea NOT NULL CHECK (length(root) = 32),
    PRIMARY KEY (level, tile)
);
ALTER TABLE register.audit_tile ALTER COLUMN hashes SET STORAGE EXTERNAL;   -- hashes do not compress

-- C2SP tlog-checkpoint, as it was signed.
CREATE TABLE register.audit_checkpoint (
    size    bigint PRIMARY KEY CHECK (size > 0),
    note    text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);
-- What witnesses said to it: the lines that go under the note.
CREATE TABLE register.audit_cosignature (
    size        bigint NOT NULL REFERENCES register.audit_checkpoint,
    witness     text NOT NULL,
    line        text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (size, witness)
);

CREATE FUNCTION register.forbid_shrinking() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.size < OLD.size OR NEW.origin IS DISTINCT FROM OLD.origin AND OLD.origin IS NOT NULL THEN
        RAISE EXCEPTION 'the audit log only grows, under one name' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_head_only_grows BEFORE UPDATE ON register.audit_head
    FOR EACH ROW EXECUTE FUNCTION register.forbid_shrinking();
CREATE TRIGGER audit_head_stays BEFORE DELETE OR TRUNCATE ON register.audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION register.forbid_change();
CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON register.audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION register.forbid_change();
CREATE TRIGGER audit_tile_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON register.audit_tile
    FOR EACH STATEMENT EXECUTE FUNCTION register.forbid_change();
CREATE TRIGGER audit_checkpoint_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON register.audit_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION register.forbid_change();
CREATE TRIGGER audit_cosignature_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON register.audit_cosignature
    FOR EACH STATEMENT EXECUTE FUNCTION register.forbid_change();

-- The partition of the month of a moment. A statement's trigger is not inherited, so each partition has its own.
CREATE FUNCTION register.make_audit_partition(moment timestamptz) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog
    AS $$
DECLARE
    begins timestamptz := date_trunc('month', moment AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
    ends   timestamptz := (begins AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
    name   text := 'audit_entry_' || to_char(begins AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    IF to_regclass(format('register.%I', name)) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('nser audit partitions'));
    IF to_regclass(format('register.%I', name)) IS NULL THEN
        EXECUTE format('CREATE TABLE register.%I PARTITION OF register.audit_entry FOR VALUES FROM (%L) TO (%L)',
                       name, begins, ends);
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON register.%I '
                       'FOR EACH STATEMENT EXECUTE FUNCTION register.forbid_change()', name);
    END IF;
END $$;

-- Partitions for the months around now; called by the registrar at start and daily.
CREATE FUNCTION register.ensure_audit_log(months_ahead integer) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog
    AS $$
BEGIN
    FOR offset_months IN -1..months_ahead LOOP
        PERFORM register.make_audit_partition(now() + make_interval(months => offset_months));
    END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION register.ensure_audit_log(integer), register.make_audit_partition(timestamptz) FROM PUBLIC;

SELECT register.ensure_audit_log(2);
SELECT register.make_audit_partition(month) FROM (SELECT DISTINCT date_trunc('month', at) AS month FROM written_before) AS old;
INSERT INTO register.audit_entry (entry_id, salt, at, revision, request_id, actor, action, subject, origin, reason,
                                  correlation_id)
    SELECT entry_id, salt, at, revision, request_id, actor, action, subject, origin, reason, correlation_id
    FROM written_before;
INSERT INTO register.audit_head (size) SELECT count(*) FROM written_before;

GRANT SELECT, INSERT ON register.audit_entry, register.audit_tile, register.audit_checkpoint, register.audit_cosignature
    TO nser_registrar;
GRANT SELECT, UPDATE (size, origin) ON register.audit_head TO nser_registrar;
GRANT EXECUTE ON FUNCTION register.ensure_audit_log(integer) TO nser_registrar;

-- Who verifies the log needs to read it, and nothing else.
DO $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('nser roles'));
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'nser_auditor') THEN
        CREATE ROLE nser_auditor LOGIN;
        ALTER ROLE nser_auditor SET timezone = 'UTC';
        ALTER ROLE nser_auditor SET default_transaction_read_only = on;
    END IF;
END $$;
GRANT USAGE ON SCHEMA register TO nser_auditor;
GRANT SELECT ON register.audit_head, register.audit_entry, register.audit_tile, register.audit_checkpoint,
    register.audit_cosignature TO nser_auditor;
