DROP TABLE register.lookup_segment;
