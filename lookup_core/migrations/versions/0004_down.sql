-- Back to one plain table. The hashes and checkpoints are lost; what was written stays.
CREATE TEMP TABLE written_before ON COMMIT DROP AS SELECT * FROM register.audit_entry;
DROP TABLE register.audit_cosignature, register.audit_checkpoint, register.audit_tile, register.audit_entry,
    register.audit_head;
DROP FUNCTION register.ensure_audit_log(integer), register.make_audit_partition(timestamptz), register.forbid_shrinking();
REVOKE USAGE ON SCHEMA register FROM nser_auditor;

CREATE TABLE register.audit_entry (
    entry_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at             timestamptz NOT NULL DEFAULT now(),
    actor          text NOT NULL,
    action         text NOT NULL,
    subject        text NOT NULL,
    origin         text NOT NULL,
    reason         text NOT NULL DEFAULT '',
    correlation_id text NOT NULL,
    request_id     uuid,
    revision       bigint
);
CREATE INDEX audit_entry_subject ON register.audit_entry (subject, entry_id);
INSERT INTO register.audit_entry (at, actor, action, subject, origin, reason, correlation_id, request_id, revision)
    SELECT at, actor, action, subject, origin, reason, correlation_id, request_id, revision
    FROM written_before ORDER BY entry_id;
CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON register.audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION register.forbid_change();
GRANT SELECT, INSERT ON register.audit_entry TO nser_registrar;
