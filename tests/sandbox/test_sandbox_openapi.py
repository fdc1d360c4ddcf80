import re
from typing import Any

import pytest

from pipeline.sandbox.app import ENDPOINTS, build_app
from pipeline.sandbox.openapi import build_document
from pipeline.sandbox.records import Clocks
from pipeline.sandbox.server import SandboxOptions
from pipeline.sandbox.service import Desk, Wallet
from pipeline.sandbox.store import Store
from pipeline.sandbox.switches import Switches
from sandbox_driver import Driver

DOCUMENT: dict[str, Any] = build_document(ENDPOINTS)
OPERATIONS = [
    (path, method, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]


def test_the_document_is_served_without_credentials() -> None:
    reply = Driver(SandboxOptions()).send("GET", "/openapi.json", headers={})

    assert reply.status_code == 200
    assert reply.json() == DOCUMENT
    assert DOCUMENT["openapi"] == "3.1.0"
    assert DOCUMENT["info"]["title"]
    assert DOCUMENT["info"]["version"]


def test_every_route_of_the_app_is_in_the_document() -> None:
    clocks = Clocks(now=float, wall=float)
    store = Store(":memory:", Switches(), 0, clocks)
    app = build_app(Desk(store, Switches(), clocks, 60, Wallet()))
    served = {
        (route.path, method.lower())  # type: ignore[attr-defined]
        for route in app.routes
        for method in route.methods - {"HEAD"}  # type: ignore[attr-defined]
    }

    assert served == {(path, method) for path, method, _ in OPERATIONS}
    assert len(served) == len(ENDPOINTS)


def test_operation_ids_are_unique() -> None:
    names = [operation["operationId"] for _, _, operation in OPERATIONS]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_each_operation_declares_its_path_parameters_and_its_answers(
    path: str, method: str, operation: dict[str, Any]
) -> None:
    parameters = operation.get("parameters", [])
    declared = {p["name"] for p in parameters if p["in"] == "path"}

    assert declared == set(re.findall(r"\{(\w+)\}", path))
    assert all(p["required"] for p in parameters if p["in"] == "path")
    assert len({(p["name"], p["in"]) for p in parameters}) == len(parameters)
    assert all(re.fullmatch(r"[2-5]\d\d", status) for status in operation["responses"])
    assert all(answer["description"] for answer in operation["responses"].values())
    if method == "post":
        assert "application/json" in operation["requestBody"]["content"]


def references(node: object) -> list[str]:
    if isinstance(node, dict):
        inner = [found for value in node.values() for found in references(value)]
        return inner + ([node["$ref"]] if "$ref" in node else [])
    if isinstance(node, list):
        return [found for value in node for found in references(value)]
    return []


def test_every_reference_leads_somewhere_and_no_schema_is_idle() -> None:
    found = set(references(DOCUMENT))
    schemas = {f"#/components/schemas/{n}" for n in DOCUMENT["components"]["schemas"]}

    assert found == schemas


def test_only_the_logins_and_the_document_are_open() -> None:
    is_open = {o["operationId"] for _, _, o in OPERATIONS if o.get("security") == []}

    assert is_open == {"login", "login_deprecated", "describe"}


def test_the_batch_tells_its_limits() -> None:
    batch = DOCUMENT["paths"]["/v4/clients/batch"]["post"]
    schema = batch["requestBody"]["content"]["application/json"]["schema"]

    assert (schema["minItems"], schema["maxItems"]) == (1, 1000)
    assert {"202", "207"} <= set(batch["responses"])
