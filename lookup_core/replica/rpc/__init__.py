"""Protobuf in, protobuf out: transport alone, to be replaced by the native data plane."""
