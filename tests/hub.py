"""A hub on this machine that answers as Hugging Face does, with faults that a test chooses.

It has what huggingface_hub asks for: the files of a revision with their hashes, and the files.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# Hugging Face keeps files from this size on outside of git, with a SHA-256.
_LARGE_BYTES = 100_000


@dataclass
class Hub:
    """One repository, and what is wrong with the hub."""

    repository: str
    folder: Path
    endpoint: str = ""
    altered: set[str] = field(default_factory=set)
    """Files of which one byte is different, each time."""
    altered_once: set[str] = field(default_factory=set)
    """Files of which one byte is different the first time."""
    breaks: list[str] = field(default_factory=list)
    """Files whose connection breaks in the middle, once for each time that they are listed here."""
    refuses: bool = False
    """Whether every request for a file is answered with an error."""
    sent: list[str] = field(default_factory=list)
    """The files that were asked for."""

    def body(self, path: str) -> bytes:
        """What the hub sends as a file."""
        body = (self.folder / path).read_bytes()
        if path in self.altered | self.altered_once:
            self.altered_once.discard(path)
            return bytes([body[0] ^ 1]) + body[1:]
        return body

    def listing(self) -> dict[str, Any]:
        """The answer about a revision."""
        files = [file for file in sorted(self.folder.rglob("*")) if file.is_file()]
        return {
            "id": self.repository,
            "modelId": self.repository,
            "sha": COMMIT,
            "private": False,
            "tags": [],
            "downloads": 0,
            "siblings": [self._entry(file) for file in files],
        }

    def _entry(self, file: Path) -> dict[str, Any]:
        body = file.read_bytes()
        git = hashlib.sha1(b"blob %d\0%s" % (len(body), body)).hexdigest()
        entry: dict[str, Any] = {
            "rfilename": file.relative_to(self.folder).as_posix(),
            "size": len(body),
            "blobId": git,
        }
        if len(body) >= _LARGE_BYTES:
            sha256 = hashlib.sha256(body).hexdigest()
            entry["lfs"] = {"sha256": sha256, "size": len(body), "pointerSize": 134}
        return entry


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, hub = self.path.partition("?")[0], self.hub
        api = re.fullmatch(rf"/api/models/{hub.repository}/revision/(.+)", path)
        file = re.fullmatch(rf"/{hub.repository}/resolve/{COMMIT}/(.+)", path)
        if api and api[1] in {"main", COMMIT}:
            self._send(200, json.dumps(hub.listing()).encode(), {})
        elif api:
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif file and hub.refuses:
            self._send(403, b"{}", {})
        elif file and (hub.folder / file[1]).is_file():
            self._send_file(file[1])
        else:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _send_file(self, path: str) -> None:
        kept = (self.hub.folder / path).read_bytes()
        etag = hashlib.sha256(kept).hexdigest()
        facts = {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"'}
        if self.command == "HEAD":
            self._send(200, kept, facts)
            return
        self.hub.sent.append(path)
        self._send(200, self.hub.body(path), facts, breaks=path in self.hub.breaks)
        if path in self.hub.breaks:
            self.hub.breaks.remove(path)

    def _send(
        self, status: int, body: bytes, facts: dict[str, str], *, breaks: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **facts}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[: len(body) // 2] if breaks else body)
            self.close_connection = breaks


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve on a free port of the loopback interface."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
