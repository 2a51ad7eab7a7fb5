"""Settings of the bridge: the environment only, one frozen object, checked before anything starts.

Shared names (NSER_REPLICA_ADDRESSES, NSER_REGISTRAR_ADDRESS, NSER_PORT_OFFSET, NSER_READY_FILE, NSER_LOG_LEVEL) are the
other processes' too; the bridge's own begin with NSER_BRIDGE_. It has no secret.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from nser_client.options import Tls

BRIDGE_PORT: Final = 8080
METRICS_PORT: Final = 9103
REPLICA_PORT: Final = 50051
REGISTRAR_PORT: Final = 50052
_HIGHEST_PORT: Final = 65_535


class SettingsRefused(Exception):
    """The bridge must not start: one sentence for each thing that is wrong."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


def _address(text: str) -> str:
    host, colon, port = text.strip().rpartition(":")
    if not (host and colon and port.isascii() and port.isdigit() and int(port) <= _HIGHEST_PORT):
        raise ValueError("must be a host and a port")
    return text.strip()


def _addresses(text: str) -> str:
    return ",".join(_address(each) for each in text.split(","))


def _on(port: int) -> Any:
    return lambda data: f"127.0.0.1:{port + data['port_offset']}"


Address = Annotated[str, AfterValidator(_address)]
Milliseconds = Annotated[int, Field(ge=1, le=120_000)]


class BridgeSettings(BaseSettings):
    """Where the bridge listens, whom it asks, and for how long."""

    model_config = SettingsConfigDict(
        env_prefix="NSER_BRIDGE_",
        frozen=True,
        extra="forbid",
        env_ignore_empty=True,
        validate_by_name=True,
        validate_by_alias=True,
    )

    port_offset: int = Field(
        default=0, ge=0, le=14_000, validation_alias="NSER_PORT_OFFSET", examples=["100"]
    )
    address: Address = Field(default_factory=_on(BRIDGE_PORT), examples=["127.0.0.1:8080"])
    metrics_address: Address = Field(default_factory=_on(METRICS_PORT), examples=["127.0.0.1:9103"])
    replica_addresses: Annotated[str, AfterValidator(_addresses)] = Field(
        default_factory=_on(REPLICA_PORT),
        validation_alias="NSER_REPLICA_ADDRESSES",
        examples=["127.0.0.1:50051,127.0.0.1:50061"],
    )
    registrar_address: Address = Field(
        default_factory=_on(REGISTRAR_PORT),
        validation_alias="NSER_REGISTRAR_ADDRESS",
        examples=["127.0.0.1:50052"],
    )
    tls_roots_file: Path | None = Field(default=None, examples=["/etc/nser/ca.pem"])
    insecure: bool = Field(default=False, examples=["false"])
    check_timeout_ms: Milliseconds = Field(default=500, examples=["500"])
    write_timeout_ms: Milliseconds = Field(default=10_000, examples=["10000"])
    bst_timeout_ms: Milliseconds = Field(default=300, examples=["300"])
    docs_url: str = Field(
        default="https://nser.go.ke/docs/reference/errors#",
        pattern="^https?://",
        examples=["https://…/errors#"],
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
    drain_grace_s: float = Field(
        default=10, ge=0, le=300, validation_alias="NSER_DRAIN_GRACE_S", examples=["10"]
    )

    @property
    def replicas(self) -> list[str]:
        """The replicas' addresses, one by one."""
        return self.replica_addresses.split(",")

    def tls(self) -> Tls | None:
        """Return the roots to trust, read now. Raises SettingsRefused when the file cannot be read."""
        if self.tls_roots_file is None:
            return None
        try:
            return Tls(root_certificates=self.tls_roots_file.read_bytes())
        except OSError as error:
            raise SettingsRefused(
                f"NSER_BRIDGE_TLS_ROOTS_FILE: {self.tls_roots_file} cannot be read ({error.strerror})."
            ) from None


def load() -> BridgeSettings:
    """Read the settings from the environment. Raises SettingsRefused."""
    try:
        settings = BridgeSettings()
    except ValidationError as error:
        raise SettingsRefused(
            *(
                _sentence(problem["loc"], problem["msg"])
                for problem in error.errors()
                if problem["type"] != "default_factory_not_called"
            )
        ) from None
    except SettingsError as error:
        raise SettingsRefused(f"The environment cannot be read: {error}.") from None
    if settings.insecure and settings.tls_roots_file is not None:
        raise SettingsRefused(
            "NSER_BRIDGE_INSECURE and NSER_BRIDGE_TLS_ROOTS_FILE: set one of them, not both."
        )
    settings.tls()
    return settings


def _sentence(place: tuple[int | str, ...], said: str) -> str:
    """Name the variable, what is wrong and an example; never the value."""
    name = str(place[0]) if place else ""
    for field_name, field in BridgeSettings.model_fields.items():
        alias = field.validation_alias
        variable = alias if isinstance(alias, str) else f"NSER_BRIDGE_{field_name.upper()}"
        if name in (field_name, variable, variable.lower()):
            shown = f" Example: {variable}={field.examples[0]}" if field.examples else ""
            said = said.removeprefix("Value error, ")
            return f"{variable}: {said[:1].lower()}{said[1:]}.{shown}"
    return f"{name}: {said}"
