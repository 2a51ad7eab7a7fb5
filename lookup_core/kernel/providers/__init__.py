"""What seals the key ring on a disk: a credential of the machine, a passphrase, an HSM, or a key management service."""
