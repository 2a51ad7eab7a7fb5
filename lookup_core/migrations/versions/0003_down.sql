GRANT SELECT ON register.feed_person TO nser_replica;
DROP VIEW register.load_person, register.load_identifier, register.load_token, register.load_exclusion;
