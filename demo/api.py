"""A client of the product's API for the demonstration: standard library only, loopback only."""

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any


class ApiProblem(Exception):
    """The API answered with problem details."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(
            f"{status} {body.get('code')}: {body.get('detail')} {body.get('errors', '')}"
        )
        self.status = status
        self.body = body


class Api:
    """Calls API v1 with a bearer token."""

    def __init__(self, base_url: str, token: str) -> None:
        self.base_url = base_url
        self._token = token

    def get(self, path: str, **query: str | int) -> Any:
        """GET a resource below /api/v1/."""
        suffix = f"?{urllib.parse.urlencode(query)}" if query else ""
        return self._call("GET", path + suffix, None)

    def post(self, path: str, **body: Any) -> Any:
        """POST JSON to a resource below /api/v1/."""
        return self._call("POST", path, body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        request = urllib.request.Request(
            f"{self.base_url}/api/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise ApiProblem(error.code, json.load(error)) from error
