"""The registrar's part of the audit log: sealing, telling the witnesses, answering with proofs."""
