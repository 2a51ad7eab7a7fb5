-- BST-03 tokens are computed, and none is stored: what is kept is by which kind of token an operator knows people, and how
-- often a person's were rotated. Which operator knows whom stays in bst_cross_reference, by the person's global token.
ALTER TABLE register.operator ADD COLUMN token_kind text NOT NULL DEFAULT 'global'
    CHECK (token_kind IN ('global', 'pairwise'));
ALTER TABLE register.person ADD COLUMN pairwise_generation smallint NOT NULL DEFAULT 0 CHECK (pairwise_generation >= 0);

CREATE OR REPLACE VIEW register.feed_key AS
    SELECT k.key_id, k.mac, k.operator_id, k.scopes, k.requests_per_second, k.people_per_second,
           k.state = 'active' AND o.state = 'active' AS active, o.token_kind = 'pairwise' AS has_pairwise_tokens
    FROM register.api_key k JOIN register.operator o USING (operator_id);
CREATE OR REPLACE VIEW register.load_person AS
    SELECT person_no, array_position(ARRAY['unknown', 'low', 'moderate', 'high'], risk_level)::smallint AS risk_level,
           requires_screening, coalesce((extract(epoch FROM last_assessment) * 1000)::bigint, 0) AS last_assessment_ms,
           pairwise_generation
    FROM register.person;
