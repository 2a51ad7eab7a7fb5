"""What each database role may not do, on a real database: one process's stolen password opens that one's door alone."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from tests.support.services import AUDITOR, ROLES, Database

pytestmark = [pytest.mark.services]

EVERY_TABLE = (
    *("head", "change", "replica", "operator", "api_key", "person", "person_pii", "identifier", "exclusion"),
    *(
        "exclusion_period",
        "operator_exclusion",
        "bst_token",
        "bst_mapping",
        "bst_cross_reference",
        "audit_entry",
    ),
    *(
        "request",
        "outbox",
        "lookup_log",
        "lookup_segment",
        "lookup_segment_unsealed",
        "key_rotation",
        "retired_kek",
    ),
    *("audit_head", "audit_tile", "audit_checkpoint", "audit_cosignature"),
)
# Swept, pruned, forgotten, delivered, sealed.
DELETED_BY_REGISTRARS = ("replica", "change", "request", "outbox", "lookup_segment_unsealed")
READ_BY_REPLICAS = ("head", "change", "replica", "lookup_log", "audit_checkpoint")

REPLICA_MAY_NOT = [
    *(f"SELECT * FROM register.{table}" for table in EVERY_TABLE if table not in READ_BY_REPLICAS),
    *(f"SELECT * FROM register.{view}" for view in ("report_exclusion",)),
    *(f"DELETE FROM register.{table}" for table in EVERY_TABLE),
    *(f"TRUNCATE register.{table} CASCADE" for table in EVERY_TABLE),
    "INSERT INTO register.change (revision, statements, digest) VALUES (1, '', '')",
    "UPDATE register.head SET revision = 0",
    "UPDATE register.change SET statements = ''",
    "UPDATE register.replica SET store_id = gen_random_uuid()",
    "UPDATE register.replica SET started_at = now()",
    "UPDATE register.lookup_log SET outcome = 'NOT_EXCLUDED'",
    "UPDATE register.lookup_segment SET entries = 1",
    "SELECT seed FROM register.lookup_segment",
    "INSERT INTO register.head (store_id, revision, digest, key_version) VALUES (gen_random_uuid(), 0, '', 1)",
    "SELECT register.ensure_lookup_log(1)",
]
REGISTRAR_MAY_NOT = [
    *(f"UPDATE register.{table} SET {column} = {column}" for table, column in (
        ("audit_entry", "actor"), ("change", "statements"), ("exclusion_period", "period"), ("identifier", "person_no"),
        ("request", "answer"), ("operator_exclusion", "revision"), ("bst_mapping", "token"), ("lookup_log", "outcome"),
        ("replica", "applied"), ("lookup_segment", "root"), ("lookup_segment_unsealed", "number"),
        ("audit_tile", "root"), ("audit_checkpoint", "note"), ("audit_cosignature", "line"),
    )),
    *(f"DELETE FROM register.{table}" for table in EVERY_TABLE if table not in DELETED_BY_REGISTRARS),
    *(f"TRUNCATE register.{table} CASCADE" for table in EVERY_TABLE),
    "UPDATE register.head SET store_id = gen_random_uuid()",
    "UPDATE register.head SET recovering = false",
    "INSERT INTO register.audit_head (size) VALUES (0)",
    "UPDATE register.audit_head SET size = -1",
    "SELECT register.make_audit_partition(now())",
    "INSERT INTO register.replica DEFAULT VALUES",
    "INSERT INTO register.key_rotation (rotation_id, kind, kek_id, total) VALUES (gen_random_uuid(), 'rewrap', 'x', 0)",
    "INSERT INTO register.retired_kek (kek_id) VALUES ('x')",
    "UPDATE register.retired_kek SET kek_id = 'x'",
]  # fmt: skip
BACKOFFICE_MAY_NOT = [
    *(f"SELECT * FROM register.{name}" for name in (*EVERY_TABLE, "feed_person", "feed_key")),
    *(f"DELETE FROM register.{table}" for table in EVERY_TABLE),
    "UPDATE register.report_exclusion SET state = 'released'",
    "INSERT INTO register.operator (operator_id, name) VALUES (gen_random_uuid(), 'x')",
    "SELECT register.ensure_lookup_log(1)",
]
NOBODY_MAY = [
    "CREATE TABLE register.mine ()",
    "CREATE TABLE public.mine ()",
    "DROP TABLE register.exclusion",
    "ALTER TABLE register.audit_entry DISABLE TRIGGER ALL",
    "CREATE ROLE mine",
    "SET session_replication_role = replica",
    "COPY register.head TO PROGRAM 'cat'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT rolpassword FROM pg_authid",
]
FORBIDDEN = {
    "nser_replica": REPLICA_MAY_NOT + NOBODY_MAY,
    "nser_registrar": REGISTRAR_MAY_NOT + NOBODY_MAY,
    "nser_backoffice": BACKOFFICE_MAY_NOT + NOBODY_MAY,
}
REFUSED = (errors.InsufficientPrivilege, errors.ObjectNotInPrerequisiteState)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_not_go_beyond_its_process(database: Database, role: str) -> None:
    allowed = []
    with psycopg.connect(database.url_of(role), autocommit=True) as connection:
        for statement in FORBIDDEN[role]:
            try:
                connection.execute(statement)
            except REFUSED:
                continue
            except psycopg.Error as error:
                allowed.append(f"{statement}: {error}")
            else:
                allowed.append(statement)
    assert allowed == []


READ_BY_AUDITORS = ("audit_entry", "audit_head", "audit_tile", "audit_checkpoint", "audit_cosignature")


def test_whoever_verifies_the_audit_log_reads_it_and_does_nothing_else(database: Database) -> None:
    with psycopg.connect(database.url_of(AUDITOR), autocommit=True) as connection:
        for table in READ_BY_AUDITORS:
            connection.execute(f"SELECT * FROM register.{table}")
        connection.execute("SET default_transaction_read_only = off")
        others = [table for table in EVERY_TABLE if table not in READ_BY_AUDITORS]
        for statement in (
            *(f"SELECT * FROM register.{table}" for table in others),
            *(f"DELETE FROM register.{table}" for table in EVERY_TABLE),
            *(f"TRUNCATE register.{table} CASCADE" for table in EVERY_TABLE),
            "INSERT INTO register.audit_checkpoint (size, note) VALUES (1, '')",
            "UPDATE register.audit_head SET size = 7",
            "SELECT register.ensure_audit_log(1)",
            *NOBODY_MAY,
        ):
            with pytest.raises(REFUSED):
                connection.execute(statement)


def test_what_the_roles_need_they_may(database: Database) -> None:
    needed = {
        "nser_replica": [
            f"SELECT * FROM register.{name}"
            for name in (
                "head",
                "change",
                "load_person",
                "load_identifier",
                "load_token",
                "load_exclusion",
                "feed_key",
            )
        ],
        "nser_registrar": [f"SELECT * FROM register.{name}" for name in EVERY_TABLE],
        "nser_backoffice": ["SELECT * FROM register.report_exclusion"],
    }
    for role, statements in needed.items():
        with psycopg.connect(database.url_of(role), autocommit=True) as connection:
            for statement in (*statements, "SELECT 1"):
                connection.execute(statement)


@pytest.mark.parametrize("role", ROLES)
def test_the_settings_of_a_role_outlive_what_a_pool_does_to_its_session(
    database: Database, role: str
) -> None:
    """SAFETY.md 17: what was SET in a session goes with it, or leaks to the next who borrows it."""
    expected = {
        "statement_timeout": "10min" if role == "nser_replica" else "5s",
        "lock_timeout": "4s",
        "idle_in_transaction_session_timeout": "10s",
        "TimeZone": "UTC",
    }
    with psycopg.connect(database.url_of(role), autocommit=True) as connection:
        connection.execute(
            "SET statement_timeout = '1h'; SET lock_timeout = 0; SET TimeZone = 'Africa/Nairobi'"
        )
        connection.execute("DISCARD ALL")
        held = {name: connection.execute(f"SHOW {name}").fetchone() for name in expected}
    assert held == {name: (value,) for name, value in expected.items()}


def test_no_role_has_a_power_over_the_cluster(database: Database) -> None:
    with psycopg.connect(database.owner_url) as connection:
        powers = connection.execute(
            "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s) AND (rolsuper OR rolcreaterole OR rolcreatedb "
            "OR rolreplication OR rolbypassrls)",
            [list(ROLES)],
        ).fetchall()
        owned = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'register' AND tableowner = ANY(%s)",
            [list(ROLES)],
        ).fetchall()
        memberships = connection.execute(
            "SELECT pg_get_userbyid(member) FROM pg_auth_members WHERE pg_get_userbyid(member) = ANY(%s)",
            [list(ROLES)],
        ).fetchall()
        handed_on = connection.execute(
            "SELECT table_name FROM information_schema.role_table_grants "
            "WHERE grantee = ANY(%s) AND is_grantable = 'YES'",
            [list(ROLES)],
        ).fetchall()
    assert (powers, owned, memberships, handed_on) == ([], [], [], [])


def test_even_the_owner_does_not_rewrite_what_is_append_only_by_accident(database: Database) -> None:
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        for statement in (
            "UPDATE register.audit_entry SET actor = 'nobody'",
            "DELETE FROM register.audit_entry",
            "TRUNCATE register.audit_entry",
            "UPDATE register.change SET statements = ''",
            "TRUNCATE register.change",
            *(f"TRUNCATE register.{table} CASCADE" for table in READ_BY_AUDITORS),
            *(f"DELETE FROM register.{table}" for table in READ_BY_AUDITORS),
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement)
