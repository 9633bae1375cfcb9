"""The files of the page, and the headers with which they are served.

The page loads nothing from elsewhere, runs no inline script, and cannot be shown in a frame.
"""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from contract.catalogue import MODELS
from studio.api.ports import Ports

PAGE = Path(__file__).resolve().parent.parent / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}


class Served(NamedTuple):
    """A file of the page."""

    content_type: str
    body: str


@cache
def files() -> dict[str, Served]:
    """The files of the page, by name."""
    return {
        path.name: Served(_TYPES[path.suffix], path.read_text(encoding="utf-8"))
        for path in PAGE.iterdir()
        if path.suffix in _TYPES
    }


def config(ports: Ports) -> str:
    """What the page needs to know of the deployment, as JSON. It has no secrets."""
    return json.dumps(
        {
            "clientId": ports.studio.client_id,
            "signIn": ports.studio.sign_in,
            "models": list(MODELS),
            "defaultModel": ports.settings.default_model,
        }
    )


def headers(ports: Ports) -> dict[str, str]:
    """The headers of every answer."""
    drops, videos = (
        _origin(ports.files.link(bucket, "x", 1))
        for bucket in (ports.settings.input_bucket, ports.settings.output_bucket)
    )
    signing_in = _origin(ports.studio.sign_in) if ports.studio.sign_in else ""
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": f"'self' {videos}",
        "media-src": f"'self' {videos}",
        "connect-src": f"'self' {drops} {signing_in}".strip(),
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "cross-origin-opener-policy": "same-origin",
        "referrer-policy": "no-referrer",
        "strict-transport-security": "max-age=31536000",
        "x-content-type-options": "nosniff",
    }


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
