-- Four streams, each sorted as it lies. What they say of a person is put together in the replica's index.
CREATE VIEW register.load_person AS
    SELECT person_no, array_position(ARRAY['unknown', 'low', 'moderate', 'high'], risk_level)::smallint AS risk_level,
           requires_screening, coalesce((extract(epoch FROM last_assessment) * 1000)::bigint, 0) AS last_assessment_ms
    FROM register.person;
CREATE VIEW register.load_identifier AS
    SELECT person_no, kind = 'phone' AS is_phone, blind FROM register.identifier;
CREATE VIEW register.load_token AS
    SELECT person_no, token, (array_position(ARRAY['live', 'rotated', 'revoked'], state) - 1)::smallint AS state
    FROM register.bst_token;
CREATE VIEW register.load_exclusion AS
    SELECT person_no, exclusion_id, state = 'released' AS is_released FROM register.exclusion;
GRANT SELECT ON register.load_person, register.load_identifier, register.load_token, register.load_exclusion
    TO nser_replica;
REVOKE SELECT ON register.feed_person FROM nser_replica;
