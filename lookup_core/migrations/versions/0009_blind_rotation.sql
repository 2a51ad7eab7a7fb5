-- A rotation of the blind index (SAFETY.md 22). `key_version` is the version in whose form identifiers are held; while one is
-- under way some are held in that of `key_announced` already, which wraps it. `key_check` tells the keys of the newest of
-- these from any others of its number.
ALTER TABLE register.head
    ADD COLUMN key_announced smallint CHECK (key_announced = key_version + 1),
    ADD COLUMN key_check bytea CHECK (length(key_check) = 16);

-- What is left to be moved: the next people, and that there are none.
CREATE INDEX identifier_key_version ON register.identifier (key_version, person_no);
CREATE INDEX bst_mapping_key_version ON register.bst_mapping (key_version);

GRANT UPDATE (key_version, key_announced, key_check) ON register.head TO nser_registrar;
GRANT UPDATE (blind, key_version) ON register.identifier, register.bst_mapping TO nser_registrar;
-- Which keys a replica has is its own to say: it may get a version more while it runs.
GRANT UPDATE (key_version) ON register.replica TO nser_replica;
