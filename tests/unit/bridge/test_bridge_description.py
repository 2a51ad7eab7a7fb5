"""openapi.yaml says what the bridge does: its routes, its bodies field by field, its words."""

from __future__ import annotations

import re
from typing import Any

import falcon
import msgspec
import pytest

from nser_bridge import shapes
from nser_bridge.app import Bridge
from nser_bridge.health import openapi
from nser_bridge.registrations import GROUPS
from nser_bridge.settings import BridgeSettings
from nser_client import Outcome, Period, RiskLevel, TokenStatus

DESCRIPTION: dict[str, Any] = msgspec.json.decode(openapi())
SCHEMAS = DESCRIPTION["components"]["schemas"]


def test_routes_and_methods_are_those_described() -> None:
    served = {
        template: {m.lower() for m in falcon.HTTP_METHODS if hasattr(resource, f"on_{m.lower()}")}
        for template, resource in Bridge(BridgeSettings()).routes()
    }
    described = {
        path: set(operations) & {"get", "post", "put"} for path, operations in DESCRIPTION["paths"].items()
    }
    assert served == described


@pytest.mark.parametrize(
    "shape",
    [
        shapes.Asked,
        shapes.Lookup,
        shapes.BatchLookup,
        shapes.Registration,
        shapes.Extension,
        shapes.BstWanted,
        shapes.BstRotation,
        shapes.BstGiven,
    ],
    ids=lambda shape: shape.__name__,
)
def test_bodies_are_those_described(shape: type[msgspec.Struct]) -> None:
    described = SCHEMAS[shape.__name__]
    fields = msgspec.structs.fields(shape)
    assert described["additionalProperties"] is False
    assert list(described["properties"]) == [field.name for field in fields]
    assert set(described.get("required", [])) == {field.name for field in fields if field.required}
    for field in fields:
        assert bounds(resolved(described["properties"][field.name])) == bounds(written(field.type)), (
            field.name
        )


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = SCHEMAS[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def written(kind: Any) -> dict[str, Any]:
    schema = msgspec.json.schema(kind)
    options: list[dict[str, Any]] = [
        option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"
    ]
    return options[0]


def bounds(schema: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {
        name: schema[name] for name in ("maxLength", "minimum", "maximum") if name in schema
    }
    words = {word for word in schema.get("enum", []) if word is not None}
    if schema.get("format") == "uuid":
        kept["maxLength"] = 36
    return {**kept, "enum": words}


def test_words_are_the_contracts() -> None:
    assert SCHEMAS["Period"]["enum"] == list(Period)
    assert SCHEMAS["LookupAnswer"]["properties"]["outcome"]["enum"] == list(Outcome)
    assert SCHEMAS["LookupAnswer"]["properties"]["risk_level"]["enum"] == list(RiskLevel)
    assert SCHEMAS["Validity"]["properties"]["status"]["enum"] == list(TokenStatus)
    (group,) = [
        each["schema"]
        for each in DESCRIPTION["paths"]["/api/v1/nser/stats"]["get"]["parameters"]
        if each["name"] == "group_by"
    ]
    assert group["enum"] == list(GROUPS)


def test_every_reference_leads_somewhere() -> None:
    for reference in re.findall(r'"\$ref":"#/components/(\w+)/(\w+)"', openapi().decode()):
        section, name = reference
        assert name in DESCRIPTION["components"][section]
