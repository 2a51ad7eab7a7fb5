import json
import logging
import subprocess
import sys

import pytest

from lookup_core.domain.phone import parse_phone
from lookup_core.kernel.apikey import issue
from lookup_core.kernel.errors import InvalidIdentity
from lookup_core.kernel.logs import Pii, describe_exception, scrub


def scrubbed(**event):
    return scrub(None, "info", event)


@pytest.mark.parametrize(
    "text",
    [
        "0712345678",
        "+254712345678",
        "call 0712 345 678.",
        "/v1/nser/lookup/0712345678",
        "/v1/nser/lookup/+254712345678?x=1",
        "phone=254712345678,",
        "id 12345678",
        "born 1990-12-31",
        "wanjiku@example.co.ke",
        "BST-02-0123456789ABCDEFFEDCBA9876543210-AB12",
        "bst-02-0123456789abcdeffedcba9876543210-ab12",
    ],
)
def test_what_looks_personal_is_hidden_wherever_it_stands(text):
    assert "[pii]" in scrubbed(detail=text)["detail"]
    assert not any(
        run in scrubbed(detail=text)["detail"] for run in ("345", "678", "wanjiku", "1990", "CDEF")
    )
    assert "[pii]" in scrubbed(nested={"a": [text]})["nested"]["a"][0]


@pytest.mark.parametrize(
    "text",
    [
        "01934567-1234-7abc-8234-123456789012",
        "127.0.0.1:50052",
        "lease.lapsed",
        "registrar/grants.py:120 wait",
        "took 12345 ms",
        "0.123456789",
    ],
)
def test_ids_addresses_and_measures_are_left_as_they_are(text):
    assert scrubbed(detail=text) == {"detail": text}


def test_keys_passwords_and_bytes_are_hidden():
    assert scrubbed(said=issue("demo").secret) == {"said": "[secret]"}
    assert scrubbed(url="postgresql://nser:hunter2@h:5432/d") == {"url": "postgresql://[secret]@h:5432/d"}
    assert scrubbed(authorization="Bearer x", pepper="y") == {
        "authorization": "[secret]",
        "pepper": "[secret]",
    }
    assert scrubbed(blind=b"0123", raw=b"0123") == {"blind": "[pii]", "raw": "[bytes]"}


def test_personal_keys_are_hidden_whatever_their_value():
    hidden = scrubbed(phone=712345678, First_Name="Wanjiku", more={"date_of_birth": None})
    assert hidden == {"phone": "[pii]", "First_Name": "[pii]", "more": {"date_of_birth": "[pii]"}}


def test_objects_are_logged_by_their_safe_form():
    assert scrubbed(a=parse_phone("0712345678"), b=Pii("x")) == {"a": "[pii]", "b": "[pii]"}


def test_a_huge_value_is_cut_and_scrubbed_fast():
    assert len(scrubbed(a="1 " * 5_000_000)["a"]) <= 1_000


def test_a_pii_value_is_given_only_on_purpose():
    value = Pii("0712345678")
    assert f"{value} {value!r} {value!s} {value:>20} {[value]}" == "[pii] [pii] [pii] [pii] [[pii]]"
    assert value.reveal() == "0712345678"


def test_an_exception_is_logged_as_type_and_place():
    def fail():
        raise ValueError("Key (phone)=(0712345678)")

    try:
        fail()
    except ValueError as error:
        event = describe_exception(None, "error", {"event": "x", "exc_info": error})
    assert event["error"] == "ValueError"
    assert event["where"][-1].endswith(" fail")
    assert "0712345678" not in str(event)


def test_a_refusal_an_os_error_and_a_database_error_say_a_little_more():
    refused = describe_exception(None, "error", {"exc_info": InvalidIdentity("phone", "{sent}", sent="07")})
    assert refused["error"] == "INVALID_IDENTITY(phone)"
    missing = describe_exception(None, "error", {"exc_info": FileNotFoundError(2, "No such file", "/x")})
    assert missing["os_error"] == "No such file"
    unique = ValueError("Key (phone)=(0712345678)")
    unique.sqlstate = "23505"
    assert describe_exception(None, "error", {"exc_info": unique})["sqlstate"] == "23505"


PROGRAM = """
import logging, structlog
from lookup_core.kernel import logs
logs.configure("replica", "INFO")
structlog.contextvars.bind_contextvars(request_id="r-1")
log = structlog.get_logger()
log.debug("not.shown")
log.info("check.answered", phone="0712345678", revision=12)
try:
    raise ValueError("0712345678")
except ValueError:
    log.exception("check.failed")
    logging.getLogger("asyncpg").error("duplicate %s", "0712345678", exc_info=True)
"""


def test_a_process_writes_one_json_object_a_line_and_no_personal_data():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in lines] == ["check.answered", "check.failed", "duplicate [pii]"]
    assert all(line["process"] == "replica" and line["request_id"] == "r-1" for line in lines)
    assert (lines[0]["revision"], lines[1]["error"], lines[2]["logger"]) == (12, "ValueError", "asyncpg")
    assert "0712345678" not in done.stdout
    assert done.stderr == ""


def test_configuring_happens_in_composition_roots_only():
    assert not any("ProcessorFormatter" in repr(h.formatter) for h in logging.getLogger().handlers)
