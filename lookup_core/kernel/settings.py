"""Settings: the environment only, one frozen object for each process, checked before anything starts.

The protocol's own constants (lease, guard) are no settings: see domain/lease.py. Nothing here has a default
that opens a door: database, keys and their files must be named. URLs carry passwords, so no representation
shows them.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.notes import COSIGNATURE_V1, Verifier

REGISTRAR_PORT: Final = 50052
REPLICA_PORT: Final = 50051
REGISTRAR_METRICS_PORT: Final = 9101
REPLICA_METRICS_PORT: Final = 9102
_HIGHEST_PORT: Final = 65_535
REDIS_OPTIONS: Final = {
    "redis": ("db",),
    "rediss": ("db", "ssl_ca_certs"),
    "unix": ("db", "username", "password"),
}


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isascii() and port.isdigit() and int(port) <= _HIGHEST_PORT):
        raise ValueError("must be a host and a port")
    return text


def _database_url(text: str) -> str:
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("must be a PostgreSQL URL")
    return text


def _redis_url(text: str) -> str:
    """As redis-py reads one, with the options that the data plane understands and no others."""
    url = urlsplit(text)
    options = REDIS_OPTIONS.get(url.scheme)
    if options is None:
        raise ValueError("must be a Redis URL")
    for name, value in parse_qsl(url.query, keep_blank_values=True):
        if name not in options:
            raise ValueError(f"may have the options {', '.join(options)} and no others")
        if name == "db" and not (value.isascii() and value.isdigit()):
            raise ValueError("must name the database by its number")
        if name == "ssl_ca_certs" and not Path(value).is_file():
            raise ValueError("must name, in ssl_ca_certs, a file that is there")
    if url.scheme != "unix" and not (number := url.path.removeprefix("/")).isdigit() and number:
        raise ValueError("must name the database by its number")
    return text


def _witness_url(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.username:
        raise ValueError("must be the URL of a witness")
    return text


def _witness_key(text: str | None, info: ValidationInfo) -> str | None:
    if (text is None) != (info.data.get("audit_witness_url") is None):
        raise ValueError("must be set where NSER_AUDIT_WITNESS_URL is, and only there")
    if text is not None and Verifier.parse(text).algorithm != COSIGNATURE_V1:
        raise ValueError("must be a key for cosignatures")
    return text


def _tls_key(file: Path | None, info: ValidationInfo) -> Path | None:
    if (file is None) != (info.data.get("tls_chain_file") is None):
        raise ValueError("must be set where NSER_REPLICA_TLS_CHAIN_FILE is, and only there")
    return file


def _tls_callers(file: Path | None, info: ValidationInfo) -> Path | None:
    if file is not None and info.data.get("tls_chain_file") is None:
        raise ValueError("needs TLS, and so NSER_REPLICA_TLS_CHAIN_FILE and NSER_REPLICA_TLS_KEY_FILE")
    return file


Address = Annotated[str, AfterValidator(_address)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
WitnessUrl = Annotated[str, AfterValidator(_witness_url)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
Milliseconds = Annotated[int, Field(ge=50, le=60_000)]
PoolSize = Annotated[int, Field(ge=1, le=100)]


def _on(port: int) -> Callable[[dict[str, Any]], str]:
    """Give a default address: this machine alone, the default port plus NSER_PORT_OFFSET."""
    return lambda earlier: f"127.0.0.1:{port + earlier.get('port_offset', 0)}"


def _config(prefix: str) -> SettingsConfigDict:
    return SettingsConfigDict(
        env_prefix=prefix,
        frozen=True,
        extra="forbid",
        env_ignore_empty=True,
        validate_by_name=True,
        validate_by_alias=True,
    )


class ProcessSettings(BaseSettings):
    """What every process has. Names without the process's own prefix are shared by all of them."""

    port_offset: int = Field(
        default=0, ge=0, le=14_000, validation_alias="NSER_PORT_OFFSET", examples=["100"]
    )
    ready_file: Path | None = Field(
        default=None, validation_alias="NSER_READY_FILE", examples=["/run/nser/ready.json"]
    )
    log_level: str = Field(
        default="INFO",
        pattern="^(DEBUG|INFO|WARNING|ERROR)$",
        validation_alias="NSER_LOG_LEVEL",
        examples=["INFO"],
    )
    notify: bool = Field(default=True, validation_alias="NSER_NOTIFY", examples=["true"])
    drain_grace_s: float = Field(
        default=10, ge=0, le=300, validation_alias="NSER_DRAIN_GRACE_S", examples=["10"]
    )
    reflection: bool = Field(default=False, validation_alias="NSER_REFLECTION", examples=["false"])


class KeyringSettings(BaseSettings):
    """Where the key ring is and what opens it: for the registrar, and for `nser keys`."""

    model_config = _config("NSER_")

    keyring_file: Path = Field(validation_alias="NSER_KEYRING_FILE", examples=["/etc/nser/keyring.json"])
    keyring_provider: str = Field(
        default="credential",
        pattern="^(credential|passphrase|pkcs11|vault)$",
        validation_alias="NSER_KEYRING_PROVIDER",
        examples=["pkcs11"],
    )
    keyring_credential_file: Path | None = Field(
        default=None,
        validation_alias="NSER_KEYRING_CREDENTIAL_FILE",
        examples=["/run/credentials/nser-registrar.service/nser-keyring"],
    )
    keyring_passphrase_file: Path | None = Field(
        default=None, validation_alias="NSER_KEYRING_PASSPHRASE_FILE", examples=["/run/nser/passphrase"]
    )
    pkcs11_library: Path | None = Field(
        default=None, validation_alias="NSER_PKCS11_LIBRARY", examples=["/usr/lib/softhsm/libsofthsm2.so"]
    )
    pkcs11_token: str = Field(default="", validation_alias="NSER_PKCS11_TOKEN", examples=["nser"])
    pkcs11_key: str = Field(
        default="nser-keyring", min_length=1, validation_alias="NSER_PKCS11_KEY", examples=["nser-keyring"]
    )
    pkcs11_pin_file: Path | None = Field(
        default=None, validation_alias="NSER_PKCS11_PIN_FILE", examples=["/run/nser/hsm-pin"]
    )
    vault_address: str = Field(
        default="", validation_alias="NSER_VAULT_ADDRESS", examples=["https://vault.example.go.ke:8200"]
    )
    vault_mount: str = Field(
        default="transit", min_length=1, validation_alias="NSER_VAULT_MOUNT", examples=["transit"]
    )
    vault_key: str = Field(
        default="nser-keyring", min_length=1, validation_alias="NSER_VAULT_KEY", examples=["nser-keyring"]
    )
    vault_token_file: Path | None = Field(
        default=None, validation_alias="NSER_VAULT_TOKEN_FILE", examples=["/run/nser/vault-token"]
    )
    vault_tls_roots_file: Path | None = Field(
        default=None, validation_alias="NSER_VAULT_TLS_ROOTS_FILE", examples=["/etc/nser/vault-ca.pem"]
    )


class RegistrarSettings(KeyringSettings, ProcessSettings):
    """The write side: NSER_REGISTRAR_*, the key ring's and the shared names."""

    model_config = _config("NSER_REGISTRAR_")

    database_url: DatabaseUrl = Field(
        repr=False, examples=["postgresql://nser_registrar:…@127.0.0.1:5432/nser"]
    )
    environment: str = Field(
        default="live", pattern="^[a-z]{2,8}$", validation_alias="NSER_ENVIRONMENT", examples=["live"]
    )
    address: Address = Field(default_factory=_on(REGISTRAR_PORT), examples=["127.0.0.1:50052"])
    metrics_address: Address = Field(default_factory=_on(REGISTRAR_METRICS_PORT), examples=["127.0.0.1:9101"])
    ack_timeout_ms: Milliseconds = Field(default=5_000, examples=["5000"])
    pool_min: PoolSize = Field(default=2, examples=["2"])
    pool_max: PoolSize = Field(default=10, examples=["10"])
    audit_origin: str | None = Field(
        default=None,
        pattern=r"^[^\s+]{1,200}$",
        validation_alias="NSER_AUDIT_ORIGIN",
        examples=["register.example.ke/audit"],
    )
    audit_heartbeat_s: float = Field(
        default=60, ge=1, le=86_400, validation_alias="NSER_AUDIT_HEARTBEAT_S", examples=["60"]
    )
    audit_witness_dir: Path | None = Field(
        default=None, validation_alias="NSER_AUDIT_WITNESS_DIR", examples=["/mnt/witness/checkpoints"]
    )
    audit_witness_dir_every_s: float = Field(
        default=10, ge=0, le=3_600, validation_alias="NSER_AUDIT_WITNESS_DIR_EVERY_S", examples=["10"]
    )
    audit_witness_url: WitnessUrl | None = Field(
        default=None, validation_alias="NSER_AUDIT_WITNESS_URL", examples=["https://witness.example.ke"]
    )
    audit_witness_key: Annotated[str | None, AfterValidator(_witness_key)] = Field(
        default=None,
        validate_default=True,
        validation_alias="NSER_AUDIT_WITNESS_KEY",
        examples=["witness.example.ke+0a1b2c3d+BEx…"],
    )


class ReplicaSettings(ProcessSettings):
    """The read side: NSER_REPLICA_* and the shared names."""

    model_config = _config("NSER_REPLICA_")

    database_url: DatabaseUrl = Field(
        repr=False, examples=["postgresql://nser_replica:…@127.0.0.1:5432/nser"]
    )
    replica_keys_file: Path = Field(
        validation_alias="NSER_REPLICA_KEYS_FILE", examples=["/etc/nser/replica-keys.json"]
    )
    redis_url: RedisUrl | None = Field(
        default=None, repr=False, validation_alias="NSER_REDIS_URL", examples=["redis://127.0.0.1:6379/0"]
    )
    address: Address = Field(default_factory=_on(REPLICA_PORT), examples=["127.0.0.1:50051"])
    metrics_address: Address = Field(default_factory=_on(REPLICA_METRICS_PORT), examples=["127.0.0.1:9102"])
    highwater_file: Path | None = Field(default=None, examples=["/var/lib/nser/highwater"])
    snapshot_file: Path | None = Field(default=None, examples=["/var/lib/nser/snapshot"])
    snapshot_every_s: int = Field(default=900, ge=0, le=86_400, examples=["900"])
    threads: int = Field(default=0, ge=0, le=256, examples=["2"])
    tls_chain_file: Path | None = Field(default=None, examples=["/etc/nser/replica.pem"])
    tls_key_file: Annotated[Path | None, AfterValidator(_tls_key)] = Field(
        default=None, examples=["/etc/nser/replica.key"]
    )
    tls_callers_file: Annotated[Path | None, AfterValidator(_tls_callers)] = Field(
        default=None, examples=["/etc/nser/operators-ca.pem"]
    )
    # Limits of connections that depend on who calls and through what; the others are constants of the data plane.
    max_connections: int = Field(default=4_096, ge=1, le=1_000_000, examples=["4096"])
    max_streams: int = Field(default=1_000, ge=1, le=100_000, examples=["1000"])
    connection_age_s: float = Field(default=1_800, ge=1, le=86_400, examples=["1800"])
    connection_age_grace_s: float = Field(default=30, ge=1, le=600, examples=["30"])
    keep_alive_s: float = Field(default=60, ge=1, le=3_600, examples=["60"])
    keep_alive_timeout_s: float = Field(default=10, ge=1, le=60, examples=["10"])
    lookup_log: bool = Field(default=True, examples=["true"])
    lookup_log_dir: Path | None = Field(default=None, examples=["/var/lib/nser/lookup-log"])


Settings = TypeVar("Settings", bound=BaseSettings)


def load(settings_class: type[Settings], **values: Any) -> Settings:
    """Read the settings from the environment, but for `values`.

    Raises SettingsRefused, one sentence for each problem.
    """
    try:
        return settings_class(**values)
    except ValidationError as error:
        problems = [
            _sentence(settings_class, problem["loc"], problem["msg"])
            for problem in error.errors()
            if problem["type"] != "default_factory_not_called"  # follows from another problem
        ]
    except SettingsError as error:
        problems = [f"The environment cannot be read: {error}."]
    raise SettingsRefused(*problems)


def check_config(settings_class: type[BaseSettings]) -> Sequence[str]:
    """Give what is wrong with the environment, files that must exist included.

    Nothing when a start would pass.
    """
    try:
        settings = load(settings_class)
    except SettingsRefused as refused:
        return refused.problems
    return [
        f"{variable_of(settings_class, name)}: there is no file {file}."
        for name, field in settings_class.model_fields.items()
        if isinstance(file := getattr(settings, name), Path)
        and (field.is_required() or name.startswith("tls_"))
        and not file.is_file()
    ]


def variable_of(settings_class: type[BaseSettings], name: str) -> str:
    """Give the environment variable that sets a field."""
    field = settings_class.model_fields.get(name)
    if field is not None and isinstance(field.validation_alias, str):
        return field.validation_alias
    if name.startswith("NSER_"):
        return name
    return f"{settings_class.model_config.get('env_prefix', '')}{name}".upper()


def _sentence(settings_class: type[BaseSettings], place: tuple[int | str, ...], said: str) -> str:
    """Name the variable, what is wrong and an example; never the value, which may be a secret."""
    name = str(place[0]) if place else ""
    variable = variable_of(settings_class, name)
    examples = next(
        (
            f.examples
            for n, f in settings_class.model_fields.items()
            if variable_of(settings_class, n) == variable
        ),
        None,
    )
    wrong = "is not set" if said == "Field required" else said.removeprefix("Value error, ")
    shown = f" Example: {variable}={examples[0]}" if examples else ""
    return f"{variable}: {wrong[:1].lower()}{wrong[1:]}.{shown}"
