"""A small Hugging Face hub on the loopback, which can fail in the ways that hubs do."""

import hashlib
import json
import socket
import struct
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One answer that goes wrong; a file's faults are used up in their order.

    `status` answers with it; `cut` breaks the connection after so many bytes, with a reset if
    `reset`; `content` sends other bytes. `method` says which requests it waits for.
    """

    status: int = 0
    headers: dict = field(default_factory=dict)
    cut: int | None = None
    reset: bool = False
    content: bytes | None = None
    method: str = "HEAD"


@dataclass(frozen=True)
class Request:
    method: str
    file: str
    range: str | None
    token: str | None
    proxied: bool


class HubServer(ThreadingHTTPServer):
    """Serves /REPO/resolve/REVISION/FILE from memory and remembers who asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.requests: list[Request] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, repo: str, revision: str, file: str, content: bytes) -> None:
        self.files[f"/{repo}/resolve/{revision}/{file}"] = content

    def next_fault(self, file: str, method: str) -> Fault | None:
        waiting = self.faults[file]
        if waiting and waiting[0].method == method:
            return waiting.pop(0)
        return None

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def log_message(self, *_: object) -> None:
        pass

    def answer(self) -> None:
        path = urlsplit(self.path).path  # a proxy is asked for a whole URL
        file = path.rsplit("/", 1)[-1]
        asked = self.headers.get("Range")
        token = self.headers.get("Authorization")
        proxied = self.path.startswith("http")
        self.server.requests.append(Request(self.command, file, asked, token, proxied))
        if path not in self.server.files:
            self.fail(404, {"X-Error-Code": "EntryNotFound"})
            return
        fault = self.server.next_fault(file, self.command) or Fault()
        if fault.status:
            self.fail(fault.status, fault.headers)
            return
        self.send_file(path, fault, asked)

    def fail(self, status: int, headers: dict) -> None:
        body = json.dumps({"error": "a page\nof many\nlines"}).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def send_file(self, path: str, fault: Fault, asked: str | None) -> None:
        right = self.server.files[path]
        content = right if fault.content is None else fault.content
        first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - first))
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{hashlib.sha1(right).hexdigest()}"')
        self.send_header("X-Repo-Commit", path.split("/resolve/")[1].split("/")[0])
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(content[first:] if fault.cut is None else content[first : fault.cut])
        if fault.cut is not None:
            self.break_off(fault.reset)

    def break_off(self, reset: bool) -> None:
        self.wfile.flush()
        if reset:  # close with a reset rather than in order
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True
