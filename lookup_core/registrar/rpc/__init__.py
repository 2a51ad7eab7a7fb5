"""The registrar's gRPC door: translation between the contract and the use cases, and nothing else."""
