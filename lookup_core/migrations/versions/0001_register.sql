-- Schema register: the one source of truth. Triggers only forbid; there is no logic here beyond constraints.

-- One row: which store this is, and the dense revision counter. Locked last in every writing transaction, so that the
-- order of numbers is the order of commits (SAFETY.md 10, 13).
CREATE TABLE register.head (
    singleton   boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    store_id    uuid NOT NULL,
    revision    bigint NOT NULL CHECK (revision >= 0),
    digest      bytea NOT NULL CHECK (length(digest) = 32),
    key_version smallint NOT NULL,                  -- of the blind index; a replica without this key closes (SAFETY.md 22)
    recovering  boolean NOT NULL DEFAULT false      -- after a restore: grants match no row until it is signed off (SAFETY.md 14)
);

CREATE TABLE register.change (
    revision     bigint PRIMARY KEY,
    statements   bytea NOT NULL,                    -- nser.feed.v1.Change, hashed as stored
    digest       bytea NOT NULL CHECK (length(digest) = 32),
    request_id   uuid,
    committed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE register.replica (
    replica_id    uuid PRIMARY KEY,                 -- a new one for every process start (SAFETY.md 5)
    store_id      uuid NOT NULL,
    applied       bigint NOT NULL,
    digest        bytea NOT NULL,
    grant_no      bigint NOT NULL DEFAULT 0,        -- decides, with the registrar's own clock (SAFETY.md 7)
    granted_until timestamptz NOT NULL DEFAULT '-infinity',  -- for display; decides nothing
    key_version   smallint NOT NULL,
    released      boolean NOT NULL DEFAULT false,
    address       text NOT NULL DEFAULT '',
    host          text NOT NULL DEFAULT '',
    pid           integer NOT NULL DEFAULT 0,
    started_at    timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

CREATE TABLE register.operator (
    operator_id uuid PRIMARY KEY,
    name        text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    state       text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended')),
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE register.api_key (
    key_id              text PRIMARY KEY,
    operator_id         uuid NOT NULL REFERENCES register.operator,
    mac                 bytea NOT NULL CHECK (length(mac) = 32),
    scopes              text[] NOT NULL CHECK (cardinality(scopes) > 0),
    requests_per_second integer NOT NULL CHECK (requests_per_second > 0),
    people_per_second   integer NOT NULL CHECK (people_per_second > 0),
    state               text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'revoked')),
    created_at          timestamptz NOT NULL DEFAULT now(),
    revoked_at          timestamptz
);
CREATE INDEX api_key_operator ON register.api_key (operator_id);

-- A person is a number and what they can be recognised by. Clear or encrypted personal data is in person_pii only.
CREATE TABLE register.person (
    person_no           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    risk_level          text NOT NULL DEFAULT 'unknown' CHECK (risk_level IN ('unknown', 'low', 'moderate', 'high')),
    requires_screening  boolean NOT NULL DEFAULT false,
    last_assessment     timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE register.person_pii (
    person_no   bigint PRIMARY KEY REFERENCES register.person,
    kek_id      text NOT NULL,
    wrapped_key bytea NOT NULL,                     -- one data key for each person: destroying it shreds the row
    version     integer NOT NULL DEFAULT 1,         -- part of the AAD; counts writes
    phone       bytea NOT NULL,
    document    bytea,
    date_of_birth bytea,
    first_name  bytea,
    last_name   bytea,
    email       bytea,
    support_person bytea,
    verification_receipt bytea,                     -- the newest: proof that they are who they say
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE register.identifier (
    kind        text NOT NULL CHECK (kind IN ('phone', 'document')),
    blind       bytea NOT NULL CHECK (length(blind) = 16),
    key_version smallint NOT NULL,
    person_no   bigint NOT NULL REFERENCES register.person,
    bound_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, blind, person_no)
);
-- A document is one person's; a phone may be shared or recycled.
CREATE UNIQUE INDEX identifier_document ON register.identifier (blind) WHERE kind = 'document';
-- All that feed_person reads of a person: the plan does not hang on statistics.
CREATE INDEX identifier_person ON register.identifier (person_no, kind) INCLUDE (blind);

-- The seed's SelfExclusionRecord.
CREATE TABLE register.exclusion (
    exclusion_id   uuid PRIMARY KEY,
    person_no      bigint NOT NULL REFERENCES register.person,
    period         text NOT NULL CHECK (period IN ('24_hours', '7_days', '30_days', '6_months', '1_year', '5_years', 'permanent')),
    state          text NOT NULL CHECK (state IN ('active', 'expired', 'release_requested', 'released')),
    effective_at   timestamptz NOT NULL,
    expires_at     timestamptz,
    effective_date date NOT NULL,
    expiry_date    date,
    release_requested_at timestamptz,
    released_at    timestamptz,
    channel        text NOT NULL CHECK (channel IN ('web', 'ussd', 'sms', 'operator', 'office', 'api')),
    county         smallint CHECK (county BETWEEN 1 AND 47),
    revision       bigint NOT NULL,                 -- of the last change
    CHECK ((period = 'permanent') = (expires_at IS NULL)),
    CHECK ((expires_at IS NULL) = (expiry_date IS NULL)),
    CHECK ((state = 'released') = (released_at IS NOT NULL))
);
CREATE INDEX exclusion_person ON register.exclusion (person_no) WHERE state <> 'released';
CREATE INDEX exclusion_effective ON register.exclusion (effective_date);

-- The seed's ExclusionPeriod: every term that was ever agreed for an exclusion, the newest in force.
CREATE TABLE register.exclusion_period (
    exclusion_id uuid NOT NULL REFERENCES register.exclusion,
    revision     bigint NOT NULL,
    period       text NOT NULL,
    begins_at    timestamptz NOT NULL,
    ends_at      timestamptz,
    legal_source text NOT NULL,
    PRIMARY KEY (exclusion_id, revision)
);

-- The seed's OperatorExclusionMapping: which operators an exclusion binds, and since which revision.
CREATE TABLE register.operator_exclusion (
    exclusion_id uuid NOT NULL REFERENCES register.exclusion,
    operator_id  uuid NOT NULL REFERENCES register.operator,
    revision     bigint NOT NULL,
    PRIMARY KEY (exclusion_id, operator_id)
);

-- The seed's BSTToken. 128 bits; unique, so tokens collide with nothing.
CREATE TABLE register.bst_token (
    token       bytea PRIMARY KEY CHECK (length(token) = 16),
    version     smallint NOT NULL DEFAULT 2,
    person_no   bigint NOT NULL REFERENCES register.person,
    state       text NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'rotated', 'revoked')),
    replaces    bytea REFERENCES register.bst_token,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX bst_token_live ON register.bst_token (person_no) WHERE state = 'live';
CREATE INDEX bst_token_person ON register.bst_token (person_no);

-- The seed's BSTMapping: which identifiers a token was minted for, as blind indexes.
CREATE TABLE register.bst_mapping (
    token       bytea NOT NULL REFERENCES register.bst_token,
    kind        text NOT NULL CHECK (kind IN ('phone', 'document')),
    blind       bytea NOT NULL CHECK (length(blind) = 16),
    key_version smallint NOT NULL,
    PRIMARY KEY (token, kind, blind)
);

-- The seed's BSTCrossReference: which operators know which token.
CREATE TABLE register.bst_cross_reference (
    token         bytea NOT NULL REFERENCES register.bst_token,
    operator_id   uuid NOT NULL REFERENCES register.operator,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (token, operator_id)
);

-- The seed's ExclusionAuditLog: who, what, when, where, why; ids only, never a name or a number.
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

-- Idempotency: the answer to a request, kept with a hash of what was asked.
CREATE TABLE register.request (
    request_id uuid PRIMARY KEY,
    digest     bytea NOT NULL CHECK (length(digest) = 32),
    answer     bytea NOT NULL,
    revision   bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE register.outbox (
    event_id     uuid PRIMARY KEY,                  -- UUIDv7: the receiver's idempotency key
    position     bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    person_no    bigint,                            -- order is kept for each person
    event        text NOT NULL,
    payload      jsonb NOT NULL,
    revision     bigint NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz
);
CREATE INDEX outbox_unpublished ON register.outbox (position) WHERE published_at IS NULL;

-- Who asked about whom, shipped by the replicas at least once; (replica_id, sequence) makes it exactly once.
-- A token stands for the person; blind indexes stay out of logs.
CREATE TABLE register.lookup_log (
    at          timestamptz NOT NULL,
    replica_id  uuid NOT NULL,
    sequence    bigint NOT NULL,
    operator_id uuid NOT NULL,
    key_id      text NOT NULL,
    purpose     text NOT NULL,
    outcome     text NOT NULL,
    basis       text,
    token       bytea,
    revision    bigint NOT NULL,
    correlation_id text NOT NULL,
    PRIMARY KEY (at, replica_id, sequence)
) PARTITION BY RANGE (at);

CREATE FUNCTION register.timeline() RETURNS text LANGUAGE sql STABLE
    -- A standby that was promoted writes on a new timeline (SAFETY.md 12). A function, so that roles need no more rights.
    SECURITY DEFINER SET search_path = pg_catalog
    AS $$ SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8) $$;

-- Partitions of the lookup log for the months around a moment; called by the registrar at start and daily.
CREATE FUNCTION register.ensure_lookup_log(months_ahead integer) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog
    AS $$
DECLARE
    begins timestamptz;
BEGIN
    FOR offset_months IN -1..months_ahead LOOP
        begins := date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + make_interval(months => offset_months);
        EXECUTE format(
            'CREATE TABLE IF NOT EXISTS register.%I PARTITION OF register.lookup_log FOR VALUES FROM (%L) TO (%L)',
            'lookup_log_' || to_char(begins AT TIME ZONE 'UTC', 'YYYY_MM'), begins, begins + interval '1 month');
    END LOOP;
END $$;

-- Changes that nobody will ask for again: a day old, behind every row that is not released, loaders too (SAFETY.md 6),
-- and not the newest two. A row's own revision stays: its digest is what the row proves its history with. A function,
-- because no role of ours may delete from the feed otherwise.
CREATE FUNCTION register.prune_changes() RETURNS SETOF bigint LANGUAGE sql
    SECURITY DEFINER SET search_path = pg_catalog
    AS $$
        DELETE FROM register.change WHERE revision IN (
            SELECT old.revision FROM register.change AS old, register.head
            WHERE old.committed_at < now() - interval '1 day' AND old.revision < head.revision - 1
              AND old.revision < coalesce((SELECT min(applied) FROM register.replica WHERE NOT released), head.revision)
            ORDER BY old.revision LIMIT 10000)
        RETURNING revision
    $$;

CREATE FUNCTION register.forbid_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only', TG_TABLE_SCHEMA, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON register.audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION register.forbid_change();
CREATE TRIGGER change_not_rewritten BEFORE UPDATE OR TRUNCATE ON register.change
    FOR EACH STATEMENT EXECUTE FUNCTION register.forbid_change();

-- What a replica reads: the whole register at one revision, and the changes after it. No personal data.
CREATE VIEW register.feed_person AS
    SELECT p.person_no,
           array(SELECT i.blind FROM register.identifier i WHERE i.person_no = p.person_no AND i.kind = 'phone') AS phones,
           array(SELECT i.blind FROM register.identifier i WHERE i.person_no = p.person_no AND i.kind = 'document') AS documents,
           (SELECT t.token FROM register.bst_token t WHERE t.person_no = p.person_no AND t.state = 'live') AS token,
           array(SELECT t.token FROM register.bst_token t WHERE t.person_no = p.person_no AND t.state = 'rotated') AS rotated_tokens,
           array(SELECT t.token FROM register.bst_token t WHERE t.person_no = p.person_no AND t.state = 'revoked') AS revoked_tokens,
           p.risk_level, p.requires_screening, p.last_assessment,
           EXISTS (SELECT FROM register.exclusion e WHERE e.person_no = p.person_no AND e.state = 'released') AS previously_excluded,
           array(SELECT e.exclusion_id FROM register.exclusion e WHERE e.person_no = p.person_no AND e.state <> 'released') AS exclusions
    FROM register.person p;
CREATE VIEW register.feed_key AS
    SELECT k.key_id, k.mac, k.operator_id, k.scopes, k.requests_per_second, k.people_per_second,
           k.state = 'active' AND o.state = 'active' AS active
    FROM register.api_key k JOIN register.operator o USING (operator_id);
-- Counts for reports; no personal data.
CREATE VIEW register.report_exclusion AS
    SELECT exclusion_id, period, state, effective_date, expiry_date, channel, county FROM register.exclusion;
