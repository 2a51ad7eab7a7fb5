"""A throw-away certificate authority for servers on 127.0.0.1, and their callers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


class Authority:
    """Signs certificates for 127.0.0.1, as PEM."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of the tests")])
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        built = self._for(self._name, self._key, NOW + 24 * HOUR).add_extension(constraints, critical=True)
        self.pem = built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue(self, ends: datetime = NOW + 24 * HOUR) -> tuple[bytes, bytes]:
        """A certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
        address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        made = self._for(name, key, ends).add_extension(address, critical=False)
        built = made.sign(self._key, hashes.SHA256())
        plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return (
            built.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(serialization.Encoding.PEM, *plain),
        )

    def _for(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, ends: datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 2 * HOUR)
            .not_valid_after(ends)
        )
