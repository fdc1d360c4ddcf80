"""
The description of the simulated API as an OpenAPI 3.1 document.

Pure: written from the table of endpoints and from `facts`, so that it cannot promise
a path the app does not serve.
"""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from pipeline.sandbox import facts
from pipeline.sandbox.service import Endpoint

_PART: Final = re.compile(r"\{(\w+)\}")
_NULL_TEXT: Final = {"type": ["string", "null"]}
_TEXT: Final = {"type": "string"}
_CLIENT_ID: Final = {"type": "integer", "format": "int64"}
_MOMENT: Final = {"type": "string", "format": "date-time"}
_COUNT: Final = {"type": "integer", "minimum": 0}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema}


_CRM_PARAMETERS: Final = [
    _query(
        "limit",
        {"type": "integer", "minimum": 1, "default": facts.LIST_DEFAULT_LIMIT},
    ),
    _query("offset", {"type": "integer", "minimum": 0, "default": 0}),
    _query(
        "recognized",
        {"enum": ["RECOGNIZED", "true", "ANONYMOUS", "false", "NONE"]},
    ),
    _query("search", _TEXT),
    _query("sortBy", _TEXT),
]
_V4_PARAMETERS: Final = [
    _query("filters[anonymous]", {"type": "boolean"}),
    *(_query(f"filters[{name}]", _TEXT) for name in facts.FILTER_FIELDS),
    _query("pageIndex", {"type": "integer", "minimum": 1, "default": 1}),
    _query("pageSize", {"type": "integer", "minimum": 1}),
    _query("sortBy", {"enum": list(facts.SORT_FIELDS)}),
    _query("sortOrder", {"enum": ["ASC", "DESC"]}),
]
_AUTOCOMPLETE_PARAMETERS: Final = [
    {**_query("field", _TEXT), "required": True},
    _query("prefix", _TEXT),
    _query(
        "limit",
        {
            "type": "integer",
            "minimum": 1,
            "default": facts.AUTOCOMPLETE_DEFAULT_LIMIT,
        },
    ),
]
_PARAMETERS: Final = {
    "list_crm": _CRM_PARAMETERS,
    "list_v4": _V4_PARAMETERS,
    "autocomplete": _AUTOCOMPLETE_PARAMETERS,
}
_BATCH_BODY: Final = {
    "type": "array",
    "items": _ref("BatchItem"),
    "minItems": facts.MIN_BATCH_ITEMS,
    "maxItems": facts.MAX_BATCH_ITEMS,
}
_LOGIN_BODY: Final = {
    "type": "object",
    "required": ["apiKey"],
    "properties": {"apiKey": {"type": "string", "format": "uuid"}},
}
_NAMES: Final = {"type": "array", "items": _TEXT}
_BODIES: Final[dict[str, dict[str, Any]]] = {
    "login": _LOGIN_BODY,
    "login_deprecated": _LOGIN_BODY,
    "check_permissions": {
        "oneOf": [
            _NAMES,
            {"type": "object", "properties": {"permissionsToCheck": _NAMES}},
        ]
    },
    "create": _ref("ProfileWrite"),
    "create_instant": _ref("ProfileWrite"),
    "update_by_id": _ref("ProfileWrite"),
    "update_by_email": _ref("ProfileWrite"),
    "update_by_custom_id": _ref("ProfileWrite"),
    "batch": _BATCH_BODY,
}
_ANSWERS: Final[dict[str, dict[str, Any]]] = {
    "login": _ref("Token"),
    "login_deprecated": _ref("Token"),
    "refresh": _ref("Token"),
    "check_permissions": _ref("Permissions"),
    "current_workspace": _ref("Workspace"),
    "create_instant": _TEXT,
    "get_by_id": _ref("Profile"),
    "get_by_identifier": _ref("Profile"),
    "list_v4": {"type": "array", "items": _ref("Profile")},
    "list_crm": _ref("CrmPage"),
    "autocomplete": {"type": "object", "properties": {"entries": _NAMES}},
    "describe": {"type": "object"},
}


def _object(properties: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **more}


def _writable() -> dict[str, Any]:
    nullable = dict.fromkeys(facts.SCALAR_FIELDS, _NULL_TEXT)
    return {
        **nullable,
        "email": {**_NULL_TEXT, "pattern": f"^(?:{facts.EMAIL_PATTERN})$"},
        "phone": {**_NULL_TEXT, "pattern": f"^(?:{facts.PHONE_PATTERN})$"},
        "birthDate": {**_NULL_TEXT, "format": "date"},
        "sex": {"enum": [*facts.SEX_VALUES, None]},
        "agreements": {
            "type": ["object", "null"],
            "properties": {
                key: {
                    "enum": [True, False, *facts.AGREEMENT_WORDS, 1, 0, None],
                }
                for key in facts.AGREEMENT_KEYS
            },
        },
        "attributes": {"type": ["object", "null"]},
        "tags": {"type": ["array", "null"], "items": _TEXT},
    }


def _profile() -> dict[str, Any]:
    agreed = {key: {"type": "boolean"} for key in facts.AGREEMENT_KEYS}
    return _object(
        {
            "clientId": _CLIENT_ID,
            **dict.fromkeys(facts.SCALAR_FIELDS, _NULL_TEXT),
            "uuid": _TEXT,
            "sex": {"enum": list(facts.SEX_VALUES)},
            "anonymous": {"type": "boolean"},
            "lastActivityDate": _MOMENT,
            "agreements": _object(agreed),
            "attributes": {"type": "object"},
            "tags": _NAMES,
            "previousClients": {"type": "array"},
        }
    )


def _crm_item() -> dict[str, Any]:
    return _object(
        {
            **dict.fromkeys(facts.CRM_NAMES, _NULL_TEXT),
            "id": _CLIENT_ID,
            "sex": {"enum": sorted(set(facts.CRM_SEX.values()))},
            "anonymous_type": _NULL_TEXT,
            "country_id": _NULL_TEXT,
            "last_activity_date": _MOMENT,
            "created": _MOMENT,
            "updated": _MOMENT,
            "deletedAt": _NULL_TEXT,
            "tags": _NAMES,
        }
    )


def _crm_page() -> dict[str, Any]:
    counts = dict.fromkeys(("all", "limit", "offset", "matching"), _COUNT)
    customers = {"type": "array", "items": _ref("CrmItem")}
    return _object({"customers": customers, **counts})


def _permissions() -> dict[str, Any]:
    granted = {"type": "object", "additionalProperties": {"type": "boolean"}}
    return _object({"businessProfileName": _TEXT, "permissions": granted})


def _error() -> dict[str, Any]:
    return _object(
        {
            "timestamp": _MOMENT,
            "status": {"type": "integer"},
            "error": _TEXT,
            "message": _TEXT,
            "path": _TEXT,
            "errors": {"type": "array", "items": {"anyOf": _BOTH_DETAILS}},
        }
    )


def _error_detail() -> dict[str, Any]:
    texts = dict.fromkeys(("field", "message", "rejectedValue"), _NULL_TEXT)
    return _object({"code": {"type": "integer"}, **texts})


def _coded_detail() -> dict[str, Any]:
    texts = dict.fromkeys(("path", "errorCode", "message", "traceId"), _TEXT)
    return _object({"timestamp": _MOMENT, "status": {"type": "integer"}, **texts})


# Two descriptions disagree about the entries of a 207 (API contract, 5.3).
_BOTH_DETAILS: Final = [_ref("ErrorDetail"), _ref("CodedDetail")]


def _schemas() -> dict[str, Any]:
    return {
        "ProfileWrite": _object(_writable()),
        "BatchItem": _object({"clientId": _CLIENT_ID, **_writable()}),
        "Profile": _profile(),
        "CrmItem": _crm_item(),
        "CrmPage": _crm_page(),
        "Token": _object({"token": _TEXT}, required=["token"]),
        "Permissions": _permissions(),
        "Workspace": _object({"businessProfileGuid": _TEXT, "name": _TEXT}),
        "ErrorDetail": _error_detail(),
        "CodedDetail": _coded_detail(),
        "Error": _error(),
    }


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _TEXT}
        for name in _PART.findall(endpoint.path)
    ]
    if endpoint.is_v4():
        found.append(
            {
                "name": facts.API_VERSION_HEADER,
                "in": "header",
                "required": True,
                "schema": {"type": "string", "default": facts.API_VERSION},
            }
        )
    return found + _PARAMETERS.get(endpoint.name, [])


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {facts.JSON_CONTENT_TYPE: {"schema": schema}}


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    success: dict[str, Any] = {"description": HTTPStatus(endpoint.success).phrase}
    if endpoint.name in _ANSWERS:
        success["content"] = _content(_ANSWERS[endpoint.name])
    responses = {str(endpoint.success): success}
    if endpoint.name == "batch":
        responses["207"] = {
            "description": "Accepted but for the items named",
            "content": _content({"type": "array", "items": {"anyOf": _BOTH_DETAILS}}),
        }
    for status in endpoint.refusals:
        responses[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": _content(_ref("Error")),
        }
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "responses": responses,
    }
    if parameters := _parameters(endpoint):
        operation["parameters"] = parameters
    if endpoint.name in _BODIES:
        body = _content(_BODIES[endpoint.name])
        operation["requestBody"] = {"required": True, "content": body}
    if endpoint.permission:
        operation["description"] = f"API key permission: `{endpoint.permission}`"
    if endpoint.is_deprecated:
        operation["deprecated"] = True
    if endpoint.is_open:
        operation["security"] = []
    return operation


def build_document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Describe a table of endpoints, in its order."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        at_path = paths.setdefault(endpoint.path, {})
        at_path[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Profile API sandbox",
            "version": facts.API_VERSION,
            "description": "A simulator; not the real service.",
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"basic": []}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
    }
