"""``http``: a request to a URL is answered with 2xx.

Passing on 2xx, warning on 429 (Too Many Requests), critical on any other answer and on none.
The request is GET unless ``method`` says otherwise, with ``body`` and the headers of
``header``; a ``Host`` among those is sent instead of the URL's. It is made on a connection of
its own, directly, whatever the proxy variables of the environment say. Redirects are followed
unless ``disable_redirects`` is set. ``https`` URLs are verified against the system's
authorities; ``tls_server_name`` replaces the name that is sent and verified,
``tls_skip_verify`` verifies nothing.

``expect_status`` lists the statuses that are passing instead of 2xx, and ``expect_body`` is a
regular expression (RE2) that the first 64 kB of the body have to match; Consul has neither.

The output holds the start of the body, up to the output limit; the rest is not read. The
timeout (10 s) is for the whole of it, redirects and body included: a body that does not come
is critical.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from portway.discovery.checks.context import Context
from portway.discovery.checks.dial import DialError, DialTimeoutError, connect
from portway.discovery.checks.http_exchange import Exchange, ExchangeError
from portway.discovery.checks.http_expectation import BODY_LIMIT, Expectation, expectation_of
from portway.discovery.checks.http_request import (
    MAX_REQUESTS,
    Request,
    RequestError,
    Response,
    build,
    failed,
    flat_headers,
    redirected,
    shown,
)
from portway.discovery.checks.output import decoded, limit_of
from portway.discovery.checks.result import Result, critical, passing, warning
from portway.discovery.model import CheckDefinition

TIMEOUT = 10.0
_NO_HEADERS = "Client.Timeout exceeded while awaiting headers"


def prepare(definition: CheckDefinition, context: Context) -> Callable[[], Awaitable[Result]]:
    """A run of the check, with everything done that is the same each time."""
    method = definition.method or "GET"
    try:
        request = build(
            method,
            definition.http,
            flat_headers(definition.header),
            definition.body,
            context.settings.user_agent,
        )
    except RequestError as error:
        wrong = critical(failed(method, definition.http, error))

        async def refused() -> Result:
            return wrong

        return refused

    limit = limit_of(definition, context.settings.output_max_size)
    expected = expectation_of(definition)
    read = max(limit, BODY_LIMIT) if expected.body is not None else limit

    async def run() -> Result:
        answer = await _run(definition, context, request, read)
        if isinstance(answer, Result):
            return answer
        return judged(method, definition.http, answer, expected, limit)

    return run


def judged(method: str, url: str, response: Response, expected: Expectation, limit: int) -> Result:
    """The result of an answer; ``limit`` in bytes of its body to show."""
    line = f"{response.status} {response.reason}".rstrip()
    wrong = expected.unmet(response)
    body = decoded(response.body[:limit])
    output = f"HTTP {method} {shown(url)}: {line}{wrong or ''} Output: {body}"
    if wrong is None:
        return passing(output)
    return warning(output) if response.status == 429 and not wrong else critical(output)


async def _run(
    definition: CheckDefinition, context: Context, request: Request, limit: int
) -> Response | Result:
    end = asyncio.get_running_loop().time() + (definition.timeout or TIMEOUT)
    try:
        for _ in range(MAX_REQUESTS):
            response = await _exchange(definition, context, request, limit, end)
            following = None if definition.disable_redirects else redirected(request, response)
            if following is None:
                return response
            request = following
    except (DialError, ExchangeError, RequestError) as error:
        return critical(failed(request.method, request.url, error))
    text = f"stopped after {MAX_REQUESTS} redirects"
    return critical(failed(request.method, response.location, text))


async def _exchange(
    definition: CheckDefinition, context: Context, request: Request, limit: int, end: float
) -> Response:
    tls = context.tls(definition) if request.secure else None
    try:
        _, exchange = await connect(partial(Exchange, request, limit), request.address, end, tls)
    except DialTimeoutError:
        raise ExchangeError(f"context deadline exceeded ({_NO_HEADERS})") from None
    try:
        async with asyncio.timeout_at(end):
            return await exchange.answer
    except TimeoutError:
        doing = (
            "Client.Timeout or context cancellation while reading body"
            if exchange.in_body
            else _NO_HEADERS
        )
        raise ExchangeError(f"context deadline exceeded ({doing})") from None
    finally:
        exchange.close()
