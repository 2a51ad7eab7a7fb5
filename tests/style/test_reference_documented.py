"""The reference pages say what the code says: settings, commands, RPCs, states, periods, safety rules."""

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from pydantic_settings import BaseSettings

from lookup_core.cli.exits import ExitCode
from lookup_core.cli.main import app
from lookup_core.domain import scope
from lookup_core.kernel.settings import RegistrarSettings, ReplicaSettings, variable_of
from lookup_core.registrar.rpc.methods import METHODS
from nser.access.v1 import access_pb2
from nser.audit.v1 import audit_pb2, receipts_pb2
from nser.bst.v1 import bst_pb2
from nser.lookup.v1 import lookup_pb2
from nser.register.v1 import register_pb2
from nser_bridge.settings import BridgeSettings
from scripts import reference
from tests.style.documents import REFERENCE, ROOT, code_words, prose, rows, section

PROCESSES: dict[str, type[BaseSettings]] = {
    "registrar": RegistrarSettings,
    "replica": ReplicaSettings,
    "bridge": BridgeSettings,
}
SERVICES = [
    file.DESCRIPTOR.services_by_name[name]
    for file, name in (
        (lookup_pb2, "LookupService"),
        (register_pb2, "RegisterService"),
        (bst_pb2, "BstService"),
        (access_pb2, "AccessService"),
        (audit_pb2, "AuditService"),
        (receipts_pb2, "ReceiptService"),
    )
]


def variables_of(settings: type[BaseSettings]) -> dict[str, str]:
    """Each variable with its default as the page writes it."""
    return {variable_of(settings, name): _default(settings, name) for name in settings.model_fields}


def _default(settings: type[BaseSettings], name: str) -> str:
    field = settings.model_fields[name]
    if field.is_required():
        return "needed"
    if (factory := field.default_factory) is not None:
        return f"`{factory({'port_offset': 0})}`"  # type: ignore[call-arg]
    if field.default in (None, ""):
        return "none"
    default = str(field.default)
    return f"`{default.lower() if isinstance(field.default, bool) else default}`"


def test_the_configuration_page_has_every_variable_of_every_process_with_its_default() -> None:
    told: dict[str, dict[str, str]] = {process: {} for process in PROCESSES}
    for variable, processes, default, _ in rows(REFERENCE / "configuration.md", "Processes"):
        if variable.startswith("`NSER_"):
            for process in processes.split(", "):
                told[process][variable.strip("`")] = default
    assert told == {process: variables_of(settings) for process, settings in PROCESSES.items()}


def test_every_variable_that_the_code_reads_is_on_the_configuration_page() -> None:
    documented = set(re.findall(r"NSER_[A-Z_]+", prose(REFERENCE / "configuration.md")))
    folders = ("lookup_core", "clients/python", "clients/bridge", "clients/sandbox", "scripts")
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    sources += [ROOT / "scripts/check", ROOT / "scripts/setup", ROOT / "Makefile"]
    read = {name for path in sources for name in re.findall(r"\bNSER_[A-Z_]*[A-Z]\b", path.read_text())}
    # A prefix in a sentence, and the scopes' names, are no variables.
    others = {name for name in read if any(other.startswith(f"{name}_") for other in read | documented)}
    others |= set(vars(scope))
    assert not read - documented - others


def commands(command: Any, path: str = "nser") -> Iterator[tuple[str, Any]]:
    """Every command of `nser` with its whole name."""
    if (within := getattr(command, "commands", None)) is None:
        yield path, command
        return
    for name, inner in within.items():
        yield from commands(inner, f"{path} {name}")


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_documented_with_its_options(name: str) -> None:
    told = section(prose(REFERENCE / "cli.md"), name)
    options = {
        option
        for parameter in COMMANDS[name].params
        if parameter.param_type_name == "option"
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    assert COMMANDS
    assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", told)) >= options - {"--help", "-h"}
    documented = {
        word for row in rows(REFERENCE / "cli.md", name) for word in re.findall(r"`(--[a-z-]+)`", row[0])
    }
    assert documented <= options


def test_every_exit_code_is_documented() -> None:
    told = {row[0] for row in rows(REFERENCE / "cli.md", "Exit codes")}
    assert told - {"Code"} == {str(int(code)) for code in ExitCode} | {"130"}


def test_every_rpc_is_documented_and_those_that_are_not_there_are_told() -> None:
    told = {row[0].strip("`"): row for row in rows(REFERENCE / "grpc.md", "RPCs") if "." in row[0]}
    assert set(told) == {
        f"{service.name}.{method.name}" for service in SERVICES for method in service.methods
    }
    for method in METHODS.values():
        _, needed, _, state = told[method.title]
        assert needed == f"`{method.scope}`", method.title
        assert ("UNIMPLEMENTED" in state) is not method.is_built, method.title


def test_every_reason_for_indeterminate_is_documented() -> None:
    names = [value.name for value in lookup_pb2.DESCRIPTOR.enum_types_by_name["IndeterminateReason"].values]
    told = set(code_words(REFERENCE / "grpc.md"))
    assert {name.removeprefix("INDETERMINATE_REASON_") for name in names[1:]} <= told


def test_every_scope_is_documented() -> None:
    told = set(code_words(REFERENCE / "grpc.md"))
    groups = {word.removesuffix("*") for word in told if word.endswith(":*")}
    assert not {each for each in scope.KNOWN if each not in told and not each.startswith(tuple(groups))}


def test_what_is_drawn_from_the_code_is_fresh() -> None:
    assert reference.stale() == []


def test_every_safety_rule_says_where_it_is_kept() -> None:
    told = [
        int(found[1])
        for row in rows(REFERENCE / "safety-rules.md")
        if (found := re.match(r"\*\*(\d+)\*\*", row[0]))
    ]
    assert told == [*range(1, 23), 24, 25]


def test_every_way_to_break_a_rule_is_in_the_table() -> None:
    told = set(code_words(REFERENCE / "safety-rules.md"))
    modules = [ast.parse(path.read_text()) for path in (ROOT / "tests/support").glob("broken*.py")]
    breaking = {node.name for module in modules for node in module.body if isinstance(node, ast.ClassDef)}
    assert len(breaking) > 20
    crate = ROOT / "lookup_core/dataplane/src"
    sources = [(crate / name).read_text() for name in ("broken.rs", "broken/on_processes.rs")]
    native = {name for text in sources for name in re.findall(r"^pub struct (\w+);", text, re.MULTILINE)}
    assert len(native) > 10
    assert not {name for name in breaking | native if not name.startswith("_")} - told


def test_the_glossary_is_in_order_and_defines_each_word_once() -> None:
    page = (REFERENCE / "glossary.md").read_text()
    words = re.findall(r"^(\S.*)\n: {3}", page, re.MULTILINE)
    assert words == sorted(set(words), key=str.lower)
