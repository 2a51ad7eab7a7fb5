"""Tokens by the ten million: generating, validating and reading histories through the registrar's gRPC."""
