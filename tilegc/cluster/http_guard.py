"""A Dask preload that asks for a token before a scheduler or a worker serves its web pages.

Dask's pages and its HTTP API have no password: whoever reaches the port reads paths, code and logs, and may dismiss
workers. On one machine the port is on loopback; in Kubernetes, where the operator and the probes of the pods must reach
it, this guard stands in front of it:

    distributed.scheduler.preload: [tilegc.cluster.http_guard]      (and distributed.worker.preload)

The token is the value of the environment variable `TILEGC_HTTP_TOKEN`. A program sends it as `Authorization: Bearer`, a
person types it at `/login` once a browser session. Without a token in the environment nobody is let in.
"""

from __future__ import annotations

import hmac
import logging
import os
from typing import Any, Final

from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler

__all__ = ["OPEN", "VARIABLE", "dask_setup"]

log = logging.getLogger("distributed.http_guard")

VARIABLE: Final = "TILEGC_HTTP_TOKEN"
"""Environment variable with the token."""
OPEN: Final = frozenset({("GET", "/health"), ("GET", "/api/v1/adaptive_target")})
"""What anybody may ask: whether the process lives, for the probes of its pod, and how many workers would be of use, for
the operator's autoscaler, which cannot send a token. It dismisses workers over Dask's own protocol when it is refused
here."""
COOKIE: Final = "tilegc_http_token"

_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Dask</title>
<form method="post"><label>Token: <input type="password" name="token" autofocus></label> <button>Enter</button></form>
"""


def dask_setup(server: Any) -> None:
    """Put the guard in front of the web pages of a scheduler or a worker; Dask calls this when it starts."""
    application, token = server.http_application, os.environ.get(VARIABLE, "")
    if not token:
        log.warning("%s is not set: the web pages of this process stay closed", VARIABLE)
    behind = application.find_handler

    def find_handler(request: HTTPServerRequest, **options: Any) -> Any:
        if (request.method, request.path) in OPEN or _knows(request, token):
            return behind(request, **options)
        target = _Login if request.path == "/login" else _Refused
        return application.get_handler_delegate(request, target, {"token": token})

    application.find_handler = find_handler


def _knows(request: HTTPServerRequest, token: str) -> bool:
    """Return whether a request carries the token, as a program or as a browser that has logged in."""
    cookie = request.cookies.get(COOKIE)
    kind, _, sent = request.headers.get("Authorization", "").partition(" ")
    found = sent.strip() if kind.lower() == "bearer" else cookie.value if cookie is not None else ""
    return _equal(found, token)


def _equal(found: str, token: str) -> bool:
    """Compare in a time that does not depend on how much of a guess is right; an empty token equals nothing."""
    return bool(token) and hmac.compare_digest(found.encode(), token.encode())


class _Refused(RequestHandler):  # type: ignore[misc]  # tornado has no types here
    """Answers every request with 401."""

    def initialize(self, token: str) -> None:
        self.token = token

    def prepare(self) -> None:
        self.set_header("WWW-Authenticate", "Bearer")
        self.set_status(401)
        self.finish("a token is needed: as `Authorization: Bearer`, or typed in at /login\n")


class _Login(RequestHandler):  # type: ignore[misc]  # as above
    """Takes the token from a form, so that it stands in no address, and with it in no history and no log."""

    def initialize(self, token: str) -> None:
        self.token = token

    def get(self) -> None:
        self.finish(_PAGE)

    def post(self) -> None:
        if not _equal(self.get_body_argument("token", ""), self.token):
            self.set_status(401)
            self.finish(_PAGE)
            return
        self.set_cookie(COOKIE, self.token, httponly=True, samesite="Strict")
        self.redirect("/status")
