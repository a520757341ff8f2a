"""The check of every request's key, before anything of its body is read."""

from collections.abc import Callable
from functools import partial
from typing import NoReturn

from starlette.requests import Request
from starlette.types import Scope

from service.access.holder import KeyHolder
from service.access.keys import Key, KeyScope
from service.access.table import needed
from service.context import route_template
from service.metrics import Metrics
from service.problems import FORBIDDEN, UNAUTHORIZED, FieldError, Problem

CALLER = "keepwell.caller"
"""Where a scope has the key that was shown."""

_CLOSE = {"Connection": "close"}  # what is left of the body is not read


def caller(scope: Scope) -> Key | None:
    """Return the key of a request that was let in; None where nobody is asked for one."""
    key: Key | None = scope.get(CALLER)
    return key


def sees_only(scope: Scope) -> str | None:
    """Return the client whose jobs alone a request may see; None where it may see all."""
    key = caller(scope)
    return None if key is None or KeyScope.ADMIN in key.scopes else key.client


class Gate:
    """Lets requests in, or does not.

    Parameters
    ----------
    holder : KeyHolder
        The keys in force.
    metrics : Metrics
        Told why somebody was not let in: the answer does not say.
    clock : callable
        The present, microseconds since 1970-01-01 UTC.
    """

    def __init__(self, holder: KeyHolder, metrics: Metrics, clock: Callable[[], int]) -> None:
        self._holder = holder
        self._metrics = metrics
        self._clock = clock

    def to(self, method: str, path: str) -> Callable[[Scope], None]:
        """Make the check of the requests to one endpoint."""
        return partial(self.check, allowed=needed(method, path))

    async def routed(self, request: Request) -> None:
        """Check a request that the framework has found the endpoint of.

        Raises
        ------
        Problem
            It is not let in.
        """
        self.check(request.scope, needed(request.method, route_template(request.scope)))

    def check(self, scope: Scope, allowed: frozenset[KeyScope]) -> None:
        """Check a request to an endpoint that asks for one of some scopes, or for no key.

        Raises
        ------
        Problem
            The request has no key that counts, or one without any of the scopes.
        """
        if not allowed:
            return
        shown = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                if shown is not None:
                    self._refuse("malformed")
                shown = value
        found = self._holder.current.judge(shown, self._clock())
        if isinstance(found, str):
            self._refuse(found)
        if allowed.isdisjoint(found.scopes):
            self._metrics.auth_failures["scope"].inc()
            wanted = " ".join(sorted(allowed))
            raise Problem(
                FORBIDDEN,
                f"The key has none of the scopes that this endpoint takes: {wanted}.",
                (FieldError("", "scope"),),
                {
                    "WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{wanted}"',
                    **_CLOSE,
                },
            )
        scope[CALLER] = found

    def _refuse(self, reason: str) -> NoReturn:
        self._metrics.auth_failures[reason].inc()
        raise Problem(
            UNAUTHORIZED,
            "Send a key that is in force as `Authorization: Bearer kw_<id>_<secret>`; "
            "`keepwell keys list` tells the operator which are.",
            (FieldError("", "key"),),
            {"WWW-Authenticate": "Bearer", **_CLOSE},
        )
