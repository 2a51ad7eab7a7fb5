"""Which provider seals the ring of this process, by its settings. Says which setting a chosen provider still lacks."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.providers.credential import Credential
from lookup_core.kernel.providers.passphrase import Passphrase
from lookup_core.kernel.providers.port import KeyProvider
from lookup_core.kernel.ring_file import RingFile
from lookup_core.kernel.settings import KeyringSettings, variable_of


def provider_of(settings: KeyringSettings) -> KeyProvider:
    """The provider that the settings choose. Raises SettingsRefused for one that they leave half said."""
    return _MADE[settings.keyring_provider](settings)


def ring_file_of(settings: KeyringSettings) -> RingFile:
    """The ring's file with the provider that opens it. Raises SettingsRefused."""
    return RingFile(settings.keyring_file, provider_of(settings))


def _needed(settings: KeyringSettings, name: str) -> Any:
    value = getattr(settings, name)
    if value in (None, ""):
        field = KeyringSettings.model_fields[name]
        variable = variable_of(KeyringSettings, name)
        raise SettingsRefused(
            f"{variable}: is not set, and the provider {settings.keyring_provider} needs it. "
            f"Example: {variable}={(field.examples or [''])[0]}"
        )
    return value


def _credential(settings: KeyringSettings) -> KeyProvider:
    return Credential(Path(_needed(settings, "keyring_credential_file")))


def _passphrase(settings: KeyringSettings) -> KeyProvider:
    return Passphrase(Path(_needed(settings, "keyring_passphrase_file")))


def _pkcs11(settings: KeyringSettings) -> KeyProvider:
    from lookup_core.kernel.providers.pkcs11 import Pkcs11  # slow to import, and few need it

    return Pkcs11(
        library=Path(_needed(settings, "pkcs11_library")),
        token=str(_needed(settings, "pkcs11_token")),
        key=settings.pkcs11_key,
        pin_file=Path(_needed(settings, "pkcs11_pin_file")),
    )


def _vault(settings: KeyringSettings) -> KeyProvider:
    from lookup_core.kernel.providers.vault import VaultTransit

    return VaultTransit(
        address=str(_needed(settings, "vault_address")),
        mount=settings.vault_mount,
        key=settings.vault_key,
        token_file=Path(_needed(settings, "vault_token_file")),
        roots_file=settings.vault_tls_roots_file,
    )


_MADE: Final[Mapping[str, Callable[[KeyringSettings], KeyProvider]]] = {
    "credential": _credential,
    "passphrase": _passphrase,
    "pkcs11": _pkcs11,
    "vault": _vault,
}
