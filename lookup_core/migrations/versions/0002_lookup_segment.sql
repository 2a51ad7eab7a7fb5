-- Which segments of the lookup log were stored. A segment's row and its entries are one transaction, so that a segment
-- that is shipped again is stored once; its hash is what the audit log seals, and names the segment before it.
CREATE TABLE register.lookup_segment (
    replica_id      uuid NOT NULL,
    number          bigint NOT NULL CHECK (number > 0),
    entries         bigint NOT NULL CHECK (entries > 0),
    first_at        timestamptz NOT NULL,
    last_at         timestamptz NOT NULL,
    sha256          bytea NOT NULL CHECK (length(sha256) = 32),
    previous_sha256 bytea NOT NULL CHECK (length(previous_sha256) = 32),   -- zeros for a replica's first
    checkpoint      bytea NOT NULL CHECK (length(checkpoint) = 64),        -- of the audit log; zeros while there is none
    shipped_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (replica_id, number)
);
CREATE TRIGGER lookup_segment_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON register.lookup_segment
    FOR EACH STATEMENT EXECUTE FUNCTION register.forbid_change();

GRANT SELECT, INSERT ON register.lookup_segment TO nser_replica;
GRANT SELECT ON register.lookup_segment TO nser_registrar;
