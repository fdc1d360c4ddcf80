"""
The table of endpoints and the application that serves it.

The app expects `scope["path"]` still percent-encoded and the body already read, both
done by `pipeline.sandbox.shell`, so that an encoded slash in an identifier never
splits a path.
"""

from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from pipeline.sandbox import access, clients, facts
from pipeline.sandbox.openapi import build_document
from pipeline.sandbox.replies import Refusal, error_reply, json_reply
from pipeline.sandbox.service import (
    Arrival,
    Call,
    Desk,
    Endpoint,
    check_headers,
    check_permission,
    decode_part,
)

ARRIVAL: Final = "sandbox.arrival"
OPENAPI_PATH: Final = "/openapi.json"


def describe(_desk: Desk, _call: Call) -> Response:
    """Answer with the OpenAPI document."""
    return json_reply(build_document(ENDPOINTS))


ENDPOINTS: Final = (
    Endpoint(
        name="login",
        method="POST",
        path=facts.LOGIN_PATH,
        handler=access.login,
        summary="Log in to the workspace",
        success=200,
        refusals=(400, 401),
        is_open=True,
    ),
    Endpoint(
        name="login_deprecated",
        method="POST",
        path=facts.DEPRECATED_LOGIN_PATH,
        handler=access.login,
        summary="Log in to the workspace (deprecated)",
        success=200,
        refusals=(401,),
        is_open=True,
        is_deprecated=True,
    ),
    Endpoint(
        name="refresh",
        method="GET",
        path=facts.REFRESH_PATH,
        handler=access.refresh,
        summary="Exchange a living token for a new one",
        success=200,
        refusals=(401, 403),
    ),
    Endpoint(
        name="check_permissions",
        method="POST",
        path=facts.PERMISSION_CHECK_PATH,
        handler=access.check_permissions,
        summary="Check permissions of the API key",
        success=200,
        refusals=(400, 401, 403),
    ),
    Endpoint(
        name="current_workspace",
        method="GET",
        path=facts.CURRENT_WORKSPACE_PATH,
        handler=access.current_workspace,
        summary="Describe the workspace",
        success=200,
        refusals=(401, 403),
    ),
    Endpoint(
        name="list_v4",
        method="GET",
        path=facts.CLIENTS_PATH,
        handler=clients.list_v4,
        summary="List full profiles",
        success=200,
        refusals=(400, 401, 403, 415),
        permission=facts.LIST_PERMISSION,
        is_typed_read=True,
    ),
    Endpoint(
        name="create",
        method="POST",
        path=facts.CLIENTS_PATH,
        handler=clients.create,
        summary="Create a profile",
        success=202,
        refusals=(400, 401, 403, 415),
        permission=facts.CREATE_PERMISSION,
    ),
    Endpoint(
        name="create_instant",
        method="POST",
        path=facts.INSTANT_PATH,
        handler=clients.create_instant,
        summary="Create a profile at once",
        success=200,
        refusals=(400, 401, 403, 415),
        permission=facts.CREATE_PERMISSION,
    ),
    Endpoint(
        name="batch",
        method="POST",
        path=facts.BATCH_PATH,
        handler=clients.batch,
        summary="Create or update up to 1000 profiles",
        success=202,
        refusals=(400, 401, 403, 415),
        permission=facts.BATCH_PERMISSION,
    ),
    Endpoint(
        name="get_by_id",
        method="GET",
        path=f"{facts.CLIENTS_PATH}/{{clientId}}",
        handler=clients.get_by_id,
        summary="Get a profile by id",
        success=200,
        refusals=(401, 403, 404),
        permission=facts.READ_PERMISSION,
    ),
    Endpoint(
        name="update_by_id",
        method="POST",
        path=f"{facts.CLIENTS_PATH}/{{clientId}}",
        handler=clients.update_by_id,
        summary="Update a profile by id",
        success=202,
        refusals=(400, 401, 403, 404, 415),
        permission=facts.UPDATE_PERMISSION,
    ),
    Endpoint(
        name="delete_by_id",
        method="DELETE",
        path=f"{facts.CLIENTS_PATH}/{{clientId}}",
        handler=clients.delete_by_id,
        summary="Delete a profile by id",
        success=202,
        refusals=(401, 403, 404),
        permission=facts.DELETE_PERMISSION,
    ),
    Endpoint(
        name="update_by_email",
        method="POST",
        path=f"{facts.CLIENTS_PATH}/by-email/{{email}}",
        handler=clients.update_by_email,
        summary="Update a profile by e-mail",
        success=202,
        refusals=(400, 401, 403, 404, 415),
        permission=facts.UPDATE_PERMISSION,
    ),
    Endpoint(
        name="update_by_custom_id",
        method="POST",
        path=f"{facts.CLIENTS_PATH}/by-customid/{{customId}}",
        handler=clients.update_by_custom_id,
        summary="Update a profile by customId",
        success=202,
        refusals=(400, 401, 403, 404, 415),
        permission=facts.UPDATE_PERMISSION,
    ),
    *(
        Endpoint(
            name=f"delete_{spelling.replace('-', '_')}",
            method="DELETE",
            path=f"{facts.CLIENTS_PATH}/{spelling}/{{customId}}",
            handler=clients.delete_by_custom_id,
            summary="Delete a profile by customId",
            success=202,
            refusals=(401, 403, 404),
            permission=facts.DELETE_PERMISSION,
        )
        for spelling in facts.DELETE_BY_CUSTOM_ID
    ),
    Endpoint(
        name="get_by_identifier",
        method="GET",
        path=f"{facts.CLIENTS_PATH}/{{identifierType}}/{{identifierValue}}",
        handler=clients.get_by_identifier,
        summary="Get a profile by e-mail, phone, uuid or customId",
        success=200,
        refusals=(400, 401, 403, 404, 415),
        permission=facts.READ_PERMISSION,
        is_typed_read=True,
    ),
    Endpoint(
        name="list_crm",
        method="GET",
        path=facts.LIST_PATH,
        handler=clients.list_crm,
        summary="List profiles, 10,000 at most",
        success=200,
        refusals=(400, 401, 403),
        permission=facts.LIST_PERMISSION,
    ),
    Endpoint(
        name="autocomplete",
        method="GET",
        path=facts.AUTOCOMPLETE_PATH,
        handler=clients.autocomplete,
        summary="Complete a value of one field",
        success=200,
        refusals=(400, 401, 403),
        permission=facts.LIST_PERMISSION,
    ),
    Endpoint(
        name="describe",
        method="GET",
        path=OPENAPI_PATH,
        handler=describe,
        summary="Describe this API",
        success=200,
        refusals=(),
        is_open=True,
    ),
)


def _answer(endpoint: Endpoint, desk: Desk, request: Request) -> Response:
    arrival: Arrival = request.scope[ARRIVAL]
    path = request.scope["path"]
    try:
        call = Call(
            arrival=arrival,
            path=path,
            parts={n: decode_part(v) for n, v in request.path_params.items()},
            params=dict(request.query_params),
            headers=dict(request.headers),
        )
        if not endpoint.is_open:
            access.authenticate(desk, call)
            check_permission(endpoint, desk.rules)
        check_headers(endpoint, call, desk.rules)
        return endpoint.handler(desk, call)
    except Refusal as refusal:
        return error_reply(refusal, path, desk.clocks.wall())


def _route(endpoint: Endpoint, desk: Desk) -> Route:
    async def serve(request: Request) -> Response:
        return _answer(endpoint, desk, request)

    return Route(endpoint.path, serve, methods=[endpoint.method], name=endpoint.name)


def build_app(desk: Desk) -> Starlette:
    """Build the application over one desk."""

    async def refuse(request: Request, reason: Exception) -> Response:
        status = reason.status_code if isinstance(reason, HTTPException) else 500
        refusal = Refusal(status, "No such operation")
        return error_reply(refusal, request.scope["path"], desk.clocks.wall())

    app = Starlette(
        routes=[_route(endpoint, desk) for endpoint in ENDPOINTS],
        exception_handlers={HTTPException: refuse},
    )
    app.router.redirect_slashes = False
    return app


def endpoint_name(app: Starlette, method: str, path: str) -> str:
    """Name the endpoint a request is for; `unknown` when there is none."""
    scope = {"type": "http", "method": method, "path": path}
    for route in app.routes:
        if isinstance(route, Route) and route.matches(scope)[0] is Match.FULL:
            return route.name
    return "unknown"
