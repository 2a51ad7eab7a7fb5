-- A row without a wrapped key was shredded: nothing of it can be read again, and its place and version stay.
ALTER TABLE register.person_pii
    ALTER COLUMN wrapped_key DROP NOT NULL,
    ALTER COLUMN phone DROP NOT NULL,
    ADD COLUMN manifest bytea,                               -- which columns have a value, encrypted as they are: none can be cut
    ADD COLUMN keyed_at timestamptz NOT NULL DEFAULT now(),  -- when its data key was made
    ADD COLUMN shredded_at timestamptz,
    ADD CONSTRAINT person_pii_shredded CHECK (
        CASE WHEN shredded_at IS NULL THEN wrapped_key IS NOT NULL
             ELSE num_nonnulls(wrapped_key, manifest, phone, document, date_of_birth, first_name, last_name, email,
                               support_person, verification_receipt) = 0 END);

-- Moving personal data to another master key, person by person in the order of their numbers, in passes: the last pass
-- finds nothing to do. One registrar at a time has the row locked while it does a chunk.
CREATE TABLE register.key_rotation (
    rotation_id uuid PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('rewrap', 'reencrypt')),
    kek_id      text NOT NULL,                               -- to this master key
    state       text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done')),
    pass        integer NOT NULL DEFAULT 1,
    position    bigint NOT NULL DEFAULT 0,                   -- everybody up to here is done in this pass
    changed     bigint NOT NULL DEFAULT 0,                   -- in this pass
    total       bigint NOT NULL,                             -- as counted at the start, for people who look
    done        bigint NOT NULL DEFAULT 0,
    refused     bigint NOT NULL DEFAULT 0,                   -- rows that do not decrypt; each has its audit line
    started_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CHECK ((state = 'done') = (finished_at IS NOT NULL))
);
CREATE UNIQUE INDEX key_rotation_running ON register.key_rotation (state) WHERE state = 'running';

-- Master keys that nothing may be wrapped by any more. Entered before a key leaves the ring, so that a registrar with an
-- older ring cannot write a row that nobody can read.
CREATE TABLE register.retired_kek (
    kek_id     text PRIMARY KEY,
    retired_at timestamptz NOT NULL DEFAULT now()
);

GRANT SELECT, UPDATE ON register.key_rotation TO nser_registrar;
GRANT SELECT ON register.retired_kek TO nser_registrar;
