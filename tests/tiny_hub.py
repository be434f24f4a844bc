"""A model hub on this machine: the few answers of huggingface.co that fetching a file needs, and failures."""

import dataclasses
import hashlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from engine.model.registry import Licence, ModelFile

COMMIT = "c" * 40
WEIGHTS = bytes(range(256)) * 400  # 102,400 bytes
LICENCE = Licence("test", "Test licence", "https://example.org/licence", "You may test.")


def model_file(name: str = "model.pt", data: bytes = WEIGHTS, **changes: object) -> ModelFile:
    """A row for a file of the repository maker/model that holds `data`."""
    file = ModelFile(
        id=name.partition(".")[0],
        repository="maker/model",
        path=f"weights/{name}",
        bytes=len(data),
        about=0,
        sha256=hashlib.sha256(data).hexdigest(),
        licence=LICENCE,
        card="https://example.org/card",
        revision="main",
        mirror="",
        url="",
        entry="",
        note="",
    )
    return dataclasses.replace(file, **changes)  # type: ignore[arg-type]


def files_below(folder: Path) -> list[str]:
    """All files below a folder, hidden ones too."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@dataclass
class TinyHub:
    """Serves `files` ({"owner/name/path": bytes}) at `address`.

    `cut_after` breaks the next download off at that byte; from then on it answers 500 until `heal` is called.
    `etags` replaces the sha256 of a file. Files named in `elsewhere` are given out by another host, as large
    ones are. `asked` lists (method, path, Range header) of every request, `tokens` (host,
    Authorization header).
    """

    files: dict[str, bytes]
    cut_after: int | None = None
    etags: dict[str, str] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)
    gated: set[str] = field(default_factory=set)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    tokens: list[tuple[str, str | None]] = field(default_factory=list)
    broken: bool = False
    address: str = ""

    def __enter__(self) -> "TinyHub":
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def heal(self) -> None:
        self.cut_after, self.broken = None, False

    def etag(self, name: str) -> str:
        return self.etags.get(name, hashlib.sha256(self.files[name]).hexdigest())


def _handler(hub: TinyHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            wanted = self.headers.get("Range")
            hub.asked.append((self.command, self.path, wanted))
            hub.tokens.append((self.headers["Host"], self.headers.get("Authorization")))
            if self.path.startswith("/cdn/"):
                self._send(self.path.removeprefix("/cdn/"), wanted, body)
                return
            owner, name, _, _revision, *path = self.path.strip("/").split("/")
            key = "/".join((owner, name, *path))
            if key in hub.gated:
                self._refuse(403, "GatedRepo")
            elif key not in hub.files:
                self._refuse(404, "EntryNotFound")
            elif body and hub.broken:
                self._refuse(500, "")
            elif key in hub.elsewhere:
                self._redirect(key)
            else:
                self._send(key, wanted, body)

        def _refuse(self, status: int, code: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _redirect(self, key: str) -> None:
            self.send_response(302)
            self.send_header("Location", f"{hub.address.replace('127.0.0.1', 'localhost')}/cdn/{key}")
            self.send_header("X-Linked-Size", str(len(hub.files[key])))
            self.send_header("X-Linked-ETag", f'"{hub.etag(key)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _send(self, key: str, wanted: str | None, body: bool) -> None:
            data, status = hub.files[key], 200
            start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
            if start:
                status = 206
            self.send_response(status)
            self.send_header("ETag", f'"{hub.etag(key)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(data) - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.end_headers()
            if not body:
                return
            if hub.cut_after is not None:
                self.wfile.write(data[start : hub.cut_after])
                hub.cut_after, hub.broken = None, True
                self.close_connection = True
            else:
                self.wfile.write(data[start:])

    return Handler
