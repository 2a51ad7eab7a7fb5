"""What happens around every request: correlation, no-store, the access log, the counters, and errors made problems.

The access log has the route's template, never the path: a path can hold a phone. Query and body are not in it either.
"""

from __future__ import annotations

import time
from typing import Any, Final

import falcon
import structlog
from falcon.asgi import Request, Response

from nser_bridge import problems, reading
from nser_bridge.logs import places
from nser_bridge.metrics import Metrics
from nser_bridge.problems import Problem, problem_of
from nser_client import NserError

CORRELATION_ID: Final = "X-Correlation-Id"
_UNKNOWN_ROUTE: Final = "(none)"

log = structlog.get_logger(__name__)


class Around:
    """Falcon middleware."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def process_request(self, request: Request, response: Response) -> None:
        request.context.began = time.perf_counter()
        request.context.correlation_id = reading.correlation_id(request.get_header(CORRELATION_ID))
        response.set_header(CORRELATION_ID, request.context.correlation_id)
        response.set_header("Cache-Control", "no-store")
        response.set_header("X-Content-Type-Options", "nosniff")
        self._metrics.in_flight.inc()

    async def process_response(
        self, request: Request, response: Response, _resource: object, _succeeded: bool
    ) -> None:
        self._metrics.in_flight.dec()
        seconds = time.perf_counter() - request.context.began
        route = request.uri_template or _UNKNOWN_ROUTE
        status = falcon.code_to_http_status(response.status).partition(" ")[0]
        method = request.method if request.method in falcon.HTTP_METHODS else "OTHER"
        self._metrics.count(route, method, status, seconds)
        log.info(
            "http.answered",
            route=route,
            method=method,
            status=int(status),
            ms=round(seconds * 1000, 2),
            correlation_id=request.context.correlation_id,
        )


class Errors:
    """Falcon error handlers: whatever is raised becomes a problem."""

    def __init__(self, docs_url: str) -> None:
        self._docs_url = docs_url

    def install(self, app: falcon.asgi.App[Any, Any]) -> None:
        """Handle every exception of `app`."""
        app.add_error_handler(Exception, self.on_fault)
        app.add_error_handler(falcon.HTTPError, self.on_http_error)
        app.add_error_handler(NserError, self.on_refusal)
        app.add_error_handler(Problem, self.on_problem)

    async def on_refusal(
        self, request: Request, response: Response, error: NserError, _params: object
    ) -> None:
        """Tell what the servers, or the client library, refused."""
        if error.correlation_id and error.correlation_id != request.context.correlation_id:
            log.warning(
                "register.refused",
                reason=error.reason,
                correlation_id=request.context.correlation_id,
                server_correlation_id=error.correlation_id,
            )
        await self.on_problem(request, response, problem_of(error), None)

    async def on_problem(
        self, request: Request, response: Response, problem: Problem, _params: object
    ) -> None:
        """Write the problem."""
        correlation_id = getattr(request.context, "correlation_id", "")
        response.status = problem.status
        response.content_type = problems.CONTENT_TYPE
        response.data = problem.body(self._docs_url, correlation_id)
        response.text = None
        for name, value in problem.all_headers().items():
            response.set_header(name, value)

    async def on_http_error(
        self, request: Request, response: Response, error: falcon.HTTPError, _params: object
    ) -> None:
        """Tell what Falcon refused: no such route, no such method, a request that cannot be read."""
        status = falcon.http_status_to_code(error.status)
        reason, detail = _FALCON.get(status, ("INVALID_REQUEST", "The request cannot be read."))
        headers = {
            name: value for name, value in dict(error.headers or {}).items() if name.lower() == "allow"
        }
        await self.on_problem(request, response, Problem(status, reason, detail, headers=headers), None)

    async def on_fault(self, request: Request, response: Response, error: Exception, _params: object) -> None:
        """Log type and place of what nobody expected, and tell the caller only where to find it."""
        correlation_id = getattr(request.context, "correlation_id", "")
        log.error(
            "http.failed",
            route=request.uri_template or _UNKNOWN_ROUTE,
            error=type(error).__qualname__,
            where=places(error),
            correlation_id=correlation_id,
        )
        detail = "Something failed on our side. Let nobody play on it, and report it with its correlation_id."
        await self.on_problem(request, response, Problem(500, "INTERNAL", detail), None)


_FALCON: Final = {
    404: ("NOT_FOUND", "There is nothing at this path. See /openapi.json for what there is."),
    405: ("METHOD_NOT_ALLOWED", "This path does not take this method; see the header Allow."),
    413: ("BODY_TOO_LARGE", "The body is larger than this call takes."),
    415: ("UNSUPPORTED_MEDIA_TYPE", "The body must be plain JSON."),
}
