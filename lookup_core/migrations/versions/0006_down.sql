DROP INDEX register.audit_entry_bst;
DROP TABLE register.token_rotation_list, register.token_rotation;
ALTER TABLE register.outbox DROP COLUMN operator_id;
DROP INDEX register.bst_token_minted, register.bst_cross_reference_operator;
ALTER TABLE register.bst_token DROP COLUMN rotation_id, DROP COLUMN salt_version;
