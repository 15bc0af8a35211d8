"""``/page/``: the files of the page, as they are installed, with headers that let a browser run nothing else.

The page has no secrets and asks the Network API for all that it shows, so its files are open to whoever can connect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import falcon

PREFIX = "/page"
INDEX = "index.html"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Scripts and styles of this server alone, none within a document, and no text that becomes one of them (CSP 3)."""

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class PageFile:
    """One file, as a falcon resource.

    :param media: its Content-Type
    :param tag: changes with its bytes (RFC 9110 §8.8.3)
    """

    media: str
    data: bytes
    tag: str

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """The file, or that the browser has it."""
        response.set_headers(dict(HEADERS))
        response.etag = self.tag
        if any(tag == "*" or tag == self.tag for tag in request.if_none_match or ()):
            response.status = falcon.HTTP_304
            return
        response.content_type = self.media
        response.data = self.data

    on_head = on_get


class PageIndex:
    """``/page/``, to which ``/page`` leads: what the document refers to is beside it, whatever is before its path."""

    def __init__(self, document: PageFile) -> None:
        self._document = document

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """The document."""
        if not request.env["PATH_INFO"].endswith("/"):
            response.set_headers(dict(HEADERS))
            response.status = falcon.HTTP_308
            response.location = f"{PREFIX.removeprefix('/')}/"
            return
        self._document.on_get(request, response)

    on_head = on_get


def page_files() -> dict[str, PageFile]:
    """All files by name."""
    found = {}
    for entry in resources.files(__package__).joinpath("static").iterdir():
        media = _TYPES.get(f".{entry.name.rpartition('.')[2]}")
        if media is not None and not entry.name.startswith("."):
            data = entry.read_bytes()
            found[entry.name] = PageFile(media, data, hashlib.sha256(data).hexdigest()[:32])
    return found


def page_paths() -> dict[str, PageIndex | PageFile]:
    """What is served, by path."""
    files = page_files()
    own: dict[str, PageIndex | PageFile] = {f"{PREFIX}/{name}": file for name, file in files.items()}
    return {PREFIX: PageIndex(files[INDEX]), **own}
