"""As much of FastAPI as the README's endpoint uses: routes are remembered, not served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class HTTPException(Exception):  # noqa: N818  # the name is FastAPI's
    def __init__(self, status_code: int, detail: str) -> None:
        super().__init__(detail)
        self.status_code = status_code


class FastAPI:
    def __init__(self) -> None:
        self.routes: dict[str, Callable[..., Any]] = {}

    def get(self, path: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def register(endpoint: Callable[..., Any]) -> Callable[..., Any]:
            self.routes[path] = endpoint
            return endpoint

        return register
