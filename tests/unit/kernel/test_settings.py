import pytest
from pydantic import ValidationError

from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.settings import (
    RegistrarSettings,
    ReplicaSettings,
    check_config,
    load,
    variable_of,
)

URL = "postgresql://nser:hunter2@127.0.0.1:5432/nser"
REGISTRAR = {"NSER_REGISTRAR_DATABASE_URL": URL, "NSER_KEYRING_FILE": "/etc/nser/keyring.json"}
REPLICA = {"NSER_REPLICA_DATABASE_URL": URL, "NSER_REPLICA_KEYS_FILE": "/etc/nser/replica-keys.json"}


@pytest.fixture
def environment(monkeypatch):
    import os

    for name in [name for name in os.environ if name.startswith("NSER_")]:
        monkeypatch.delenv(name)

    def put(**values):
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return put


def test_a_registrar_needs_a_database_and_a_ring_and_has_defaults_for_the_rest(environment):
    environment(**REGISTRAR)
    settings = load(RegistrarSettings)
    assert (settings.database_url, str(settings.keyring_file)) == (URL, "/etc/nser/keyring.json")
    assert (settings.address, settings.metrics_address) == ("127.0.0.1:50052", "127.0.0.1:9101")
    assert (settings.ack_timeout_ms, settings.notify, settings.reflection) == (5_000, True, False)


def test_a_replica_needs_a_database_and_its_keys_and_has_defaults_for_the_rest(environment):
    environment(**REPLICA)
    settings = load(ReplicaSettings)
    assert (settings.address, settings.metrics_address) == ("127.0.0.1:50051", "127.0.0.1:9102")
    assert (settings.redis_url, settings.lookup_log) == (None, True)


def test_the_owner_s_database_url_is_nobody_else_s(environment):
    environment(NSER_DATABASE_URL=URL, NSER_KEYRING_FILE="/x")
    with pytest.raises(SettingsRefused, match="NSER_REGISTRAR_DATABASE_URL: is not set"):
        load(RegistrarSettings)


def test_a_port_offset_moves_every_default_port_and_no_other(environment):
    environment(**REPLICA, NSER_PORT_OFFSET="100", NSER_REPLICA_METRICS_ADDRESS="0.0.0.0:7000")
    settings = load(ReplicaSettings)
    assert (settings.address, settings.metrics_address) == ("127.0.0.1:50151", "0.0.0.0:7000")


def test_an_empty_variable_counts_as_not_set(environment):
    environment(**REPLICA, NSER_REDIS_URL="", NSER_NOTIFY="")
    assert load(ReplicaSettings).redis_url is None


def test_each_problem_is_one_sentence_with_the_variable_and_an_example(environment):
    environment(NSER_REGISTRAR_ADDRESS="nowhere", NSER_REGISTRAR_POOL_MAX="many", NSER_DRAIN_GRACE_S="-1")
    with pytest.raises(SettingsRefused) as refused:
        load(RegistrarSettings)
    by_variable = dict(problem.split(": ", 1) for problem in refused.value.problems)
    assert set(by_variable) == {
        "NSER_REGISTRAR_DATABASE_URL",
        "NSER_KEYRING_FILE",
        "NSER_REGISTRAR_ADDRESS",
        "NSER_REGISTRAR_POOL_MAX",
        "NSER_DRAIN_GRACE_S",
    }
    assert by_variable["NSER_KEYRING_FILE"] == "is not set. Example: NSER_KEYRING_FILE=/etc/nser/keyring.json"
    assert all(f"Example: {variable}=" in said for variable, said in by_variable.items())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NSER_REPLICA_DATABASE_URL", "mysql://nser:hunter2@h/d"),
        ("NSER_REDIS_URL", "http://nser:hunter2@h"),
        ("NSER_REPLICA_ADDRESS", "127.0.0.1:70000"),
        ("NSER_REPLICA_ADDRESS", "127.0.0.1:"),
        ("NSER_REPLICA_ADDRESS", ":50051"),
        ("NSER_NOTIFY", "perhaps"),
        ("NSER_LOG_LEVEL", "LOUD"),
        ("NSER_PORT_OFFSET", "-5"),
        ("NSER_REDIS_URL", "redis://h/hunter2"),
        ("NSER_REDIS_URL", "redis://h?db=hunter2"),
        ("NSER_REDIS_URL", "redis://h?hunter2=1"),
        ("NSER_REDIS_URL", "redis://h?ssl_ca_certs=/etc/passwd"),
        ("NSER_REDIS_URL", "rediss://h?ssl_ca_certs=/hunter2"),
        ("NSER_REDIS_URL", "unix:///socket?db=hunter2"),
        ("NSER_REPLICA_TLS_CHAIN_FILE", "/etc/nser/replica.pem"),
        ("NSER_REPLICA_TLS_KEY_FILE", "/etc/nser/replica.key"),
        ("NSER_REPLICA_TLS_CALLERS_FILE", "/etc/nser/callers.pem"),
        ("NSER_REPLICA_MAX_CONNECTIONS", "0"),
        ("NSER_REPLICA_MAX_STREAMS", "many"),
        ("NSER_REPLICA_CONNECTION_AGE_S", "0"),
        ("NSER_REPLICA_CONNECTION_AGE_GRACE_S", "-1"),
        ("NSER_REPLICA_KEEP_ALIVE_S", "nan"),
        ("NSER_REPLICA_KEEP_ALIVE_TIMEOUT_S", "inf"),
    ],
)
def test_a_wrong_value_is_refused_and_not_shown(environment, name, value):
    environment(**REPLICA | {name: value})
    # A certificate without its key is told by the key.
    named = name.replace("CHAIN", "KEY")
    with pytest.raises(SettingsRefused, match=f"^{named}: ") as refused:
        load(ReplicaSettings)
    assert "hunter2" not in str(refused.value)
    assert len(refused.value.problems) == 1


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://:p@h:6379/3",
        "redis://h?db=3",
        "rediss://h:6380/0",
        "unix:///run/redis.sock?db=3&username=u&password=p",
    ],
)
def test_urls_of_redis_are_taken_as_redis_py_takes_them(environment, url):
    environment(**REPLICA, NSER_REDIS_URL=url)
    assert load(ReplicaSettings).redis_url == url


def test_passwords_are_in_no_representation(environment):
    environment(**REPLICA, NSER_REDIS_URL="redis://:hunter2@127.0.0.1:6379/0")
    assert "hunter2" not in f"{load(ReplicaSettings)!r}{load(ReplicaSettings)}"


def test_settings_cannot_be_changed_and_take_no_unknown_name(environment):
    settings = ReplicaSettings(database_url=URL, replica_keys_file="/x", notify=False)
    assert settings.notify is False
    with pytest.raises(ValidationError):
        settings.notify = True
    with pytest.raises(ValidationError):
        ReplicaSettings(database_url=URL, replica_keys_file="/x", lease_ms=1)


def test_checking_names_a_file_that_is_not_there(environment, tmp_path):
    environment(**REGISTRAR | {"NSER_KEYRING_FILE": str(tmp_path / "ring.json")})
    assert check_config(RegistrarSettings) == [f"NSER_KEYRING_FILE: there is no file {tmp_path}/ring.json."]
    (tmp_path / "ring.json").touch()
    assert check_config(RegistrarSettings) == []


def test_checking_names_a_certificate_file_that_is_not_there(environment, tmp_path):
    (tmp_path / "keys.json").touch()
    environment(
        **REPLICA | {"NSER_REPLICA_KEYS_FILE": str(tmp_path / "keys.json")},
        NSER_REPLICA_TLS_CHAIN_FILE=f"{tmp_path}/chain.pem",
        NSER_REPLICA_TLS_KEY_FILE=f"{tmp_path}/keys.json",
        NSER_REPLICA_HIGHWATER_FILE=f"{tmp_path}/may-be-missing",
    )
    problems = check_config(ReplicaSettings)
    assert problems == [f"NSER_REPLICA_TLS_CHAIN_FILE: there is no file {tmp_path}/chain.pem."]


def test_checking_gives_what_a_start_would_refuse(environment):
    assert len(check_config(ReplicaSettings)) == 2


@pytest.mark.parametrize(
    ("settings_class", "name", "variable"),
    [
        (RegistrarSettings, "database_url", "NSER_REGISTRAR_DATABASE_URL"),
        (ReplicaSettings, "redis_url", "NSER_REDIS_URL"),
        (ReplicaSettings, "highwater_file", "NSER_REPLICA_HIGHWATER_FILE"),
    ],
)
def test_a_field_knows_its_variable(settings_class, name, variable):
    assert variable_of(settings_class, name) == variable
