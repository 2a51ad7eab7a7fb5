REVOKE UPDATE (key_version) ON register.replica FROM nser_replica;
REVOKE UPDATE (blind, key_version) ON register.identifier, register.bst_mapping FROM nser_registrar;
REVOKE UPDATE (key_version) ON register.head FROM nser_registrar;
DROP INDEX register.identifier_key_version, register.bst_mapping_key_version;
ALTER TABLE register.head DROP COLUMN key_announced, DROP COLUMN key_check;
