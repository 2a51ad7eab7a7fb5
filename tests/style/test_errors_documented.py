"""Every reason for a refusal is documented and mapped, in the servers, the SDK, the bridge and the pages."""

import re

import pytest

import nser_client.errors
from lookup_core.kernel.errors import REASONS, Refused
from lookup_core.kernel.rpc_errors import code_of
from nser_bridge.problems import http_status, problem_of
from tests.style.documents import REFERENCE, ROOT, anchors, rows

PAGE = REFERENCE / "errors.md"
BRIDGE = ROOT / "clients/bridge/nser_bridge"


def table() -> dict[str, list[str]]:
    """The first table of the page, by reason."""
    found = {}
    for cells in rows(PAGE):
        if (name := re.match(r"\[`([A-Z_]+)`\]\(#([a-z-]+)\)", cells[0])) and len(cells) == 5:
            assert name[2] == anchor(name[1])
            found.setdefault(name[1], list(cells))
    return found


def anchor(reason: str) -> str:
    return reason.lower().replace("_", "-")


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_a_reason_of_the_servers_has_its_row_and_its_heading(reason: str) -> None:
    refused: type[Refused] = REASONS[reason]
    _, code, http, again, _ = table()[reason]
    assert (code, http, again) == (refused.code, str(refused.http), "yes" if refused.retryable else "no")
    assert anchor(reason) in anchors(PAGE)
    assert code_of(refused.__new__(refused)).name == refused.code


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_a_reason_of_the_servers_is_a_class_of_the_sdk_and_the_same_status_of_the_bridge(reason: str) -> None:
    raised = nser_client.errors.BY_REASON[reason]("…")
    assert raised.reason == reason
    assert http_status(raised) == REASONS[reason].http


@pytest.mark.parametrize("reason", sorted(nser_client.errors.BY_REASON))
def test_what_a_problem_links_to_is_a_heading_of_the_page(reason: str) -> None:
    # Of the SDK's own classes, those that stand only for a group of reasons are never told by the bridge.
    if reason in ("CONFLICT", "OUTAGE"):
        return
    body = problem_of(nser_client.errors.BY_REASON[reason]("…")).body("#", "id").decode()
    linked = re.search(r'"type":"#([^"]*)"', body)
    assert linked is not None
    assert linked[1] in anchors(PAGE)


def reasons_of_the_bridge() -> set[str]:
    """The reasons that the bridge gives by itself."""
    source = "\n".join(path.read_text() for path in BRIDGE.glob("*.py"))
    own = set(re.findall(r'Problem\(\s*\d+,\s*"([A-Z_]+)"', source))
    own |= set(re.findall(r'^    \d{3}: \("([A-Z_]+)"', source, re.MULTILINE))
    return own | set(re.findall(r'reason="([A-Z_]+)"', source))


def test_the_bridge_s_own_reasons_have_headings() -> None:
    own = reasons_of_the_bridge()
    assert {"BODY_TOO_LARGE", "METHOD_NOT_ALLOWED", "OVERLOADED"} <= own
    assert not {reason for reason in own if anchor(reason) not in anchors(PAGE)}


def test_the_page_has_no_reason_that_nobody_gives() -> None:
    given = {*REASONS, *nser_client.errors.BY_REASON, *reasons_of_the_bridge(), nser_client.UNKNOWN_ANSWER}
    assert set(table()) <= given
