-- Which version of the secret salt a token was minted under, and which bulk rotation made it.
ALTER TABLE register.bst_token ADD COLUMN salt_version smallint NOT NULL DEFAULT 1, ADD COLUMN rotation_id uuid;

-- Bulk rotations go through the tokens of an operator, or of a time, in these orders.
CREATE INDEX bst_cross_reference_operator ON register.bst_cross_reference (operator_id, token);
CREATE INDEX bst_token_minted ON register.bst_token (created_at, token);

-- For whom an event is: one operator, or, when null, everybody whom it concerns.
ALTER TABLE register.outbox ADD COLUMN operator_id uuid;

-- A rotation of many tokens after a compromise. The cursor moves in the transaction that rotates what it passes, so that
-- whoever goes on, after whatever, begins where the last commit ended.
CREATE TABLE register.token_rotation (
    rotation_id  uuid PRIMARY KEY,
    digest       bytea NOT NULL CHECK (length(digest) = 32),   -- of what was asked: the id is the request's
    operator_id  uuid REFERENCES register.operator,
    minted_from  timestamptz,
    minted_to    timestamptz,
    listed       bigint,                            -- how many tokens the list has
    revokes      boolean NOT NULL,
    is_dry_run   boolean NOT NULL,
    reason       text NOT NULL CHECK (reason <> ''),
    actor        text NOT NULL,
    origin       text NOT NULL,
    correlation_id text NOT NULL,
    state        text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'cancelled')),
    gathered_at  timestamptz,                       -- of an operator's: how far the lookup log was read for its tokens
    cursor_at    timestamptz,
    cursor_token bytea NOT NULL DEFAULT '',
    passed       bigint NOT NULL DEFAULT 0,         -- tokens that the cursor went over
    rotated      bigint NOT NULL DEFAULT 0,         -- people who have a new token
    revoked      bigint NOT NULL DEFAULT 0,         -- tokens that no longer resolve
    unknown      bigint NOT NULL DEFAULT 0,         -- tokens of the list that the register does not know
    revision     bigint NOT NULL DEFAULT 0,         -- of the last group, and the request it is confirmed by
    request_id   uuid,
    started_at   timestamptz NOT NULL,
    ended_at     timestamptz,
    CHECK (num_nonnulls(operator_id, minted_to, listed) = 1),
    CHECK ((minted_from IS NULL) = (minted_to IS NULL)),
    CHECK ((state = 'running') = (ended_at IS NULL))
);
CREATE INDEX token_rotation_running ON register.token_rotation (started_at) WHERE state = 'running';

CREATE TABLE register.token_rotation_list (
    rotation_id uuid NOT NULL REFERENCES register.token_rotation,
    token       bytea NOT NULL CHECK (length(token) = 16),
    version     smallint NOT NULL,
    PRIMARY KEY (rotation_id, token)
);

GRANT SELECT, INSERT ON register.token_rotation, register.token_rotation_list TO nser_registrar;
GRANT UPDATE ON register.token_rotation TO nser_registrar;

-- A token's history, newest first, is read from one end of this; checks are read from lookup_log_token.
CREATE INDEX audit_entry_bst ON register.audit_entry (subject, at) WHERE action LIKE 'bst.%';
