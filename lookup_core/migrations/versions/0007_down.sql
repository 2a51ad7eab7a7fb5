-- A view loses a column only by being made again.
DROP VIEW register.feed_key, register.load_person;
CREATE VIEW register.feed_key AS
    SELECT k.key_id, k.mac, k.operator_id, k.scopes, k.requests_per_second, k.people_per_second,
           k.state = 'active' AND o.state = 'active' AS active
    FROM register.api_key k JOIN register.operator o USING (operator_id);
CREATE VIEW register.load_person AS
    SELECT person_no, array_position(ARRAY['unknown', 'low', 'moderate', 'high'], risk_level)::smallint AS risk_level,
           requires_screening, coalesce((extract(epoch FROM last_assessment) * 1000)::bigint, 0) AS last_assessment_ms
    FROM register.person;
GRANT SELECT ON register.feed_key, register.load_person TO nser_replica;
ALTER TABLE register.person DROP COLUMN pairwise_generation;
ALTER TABLE register.operator DROP COLUMN token_kind;
