"""As much of the Hub as it takes to stream a data set from it, on this machine."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serving(files: Mapping[str, bytes], repo_id: str = "org/name") -> Iterator[str]:
    """Address of a server whose one data set `repo_id` holds `files`."""

    class Handler(_Handler):
        repo = _Repo(repo_id, dict(files))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Repo:
    def __init__(self, repo_id: str, files: dict[str, bytes]) -> None:
        self.repo_id = repo_id
        self.files = files

    def facts(self) -> dict[str, Any]:
        siblings = [{"rfilename": name} for name in self.files]
        flags = {"private": False, "gated": False, "disabled": False}
        return {"id": self.repo_id, "sha": COMMIT, "siblings": siblings, "tags": [], **flags}

    def entry(self, path: str) -> dict[str, Any]:
        if path in self.files:
            content = self.files[path]
            oid = hashlib.sha1(content).hexdigest()
            return {"type": "file", "oid": oid, "size": len(content), "path": path}
        return {"type": "directory", "oid": "0" * 40, "size": 0, "path": path}

    def tree(self, under: str, *, recursive: bool) -> list[dict[str, Any]]:
        before = f"{under}/" if under else ""
        names: dict[str, None] = {}
        for name in self.files:
            if name.startswith(before):
                rest = name.removeprefix(before)
                names[name if recursive else before + rest.split("/")[0]] = None
        return [self.entry(name) for name in names]


class _Handler(BaseHTTPRequestHandler):
    repo: _Repo

    def log_message(self, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path, api = unquote(url.path), f"/api/datasets/{self.repo.repo_id}"
        resolve = f"/datasets/{self.repo.repo_id}/resolve/"
        if path.startswith(f"{api}/tree/"):
            _, _, under = path.removeprefix(f"{api}/tree/").partition("/")
            recursive = parse_qs(url.query).get("recursive", [""])[0].lower() == "true"
            tree = self.repo.tree(under, recursive=recursive)
            self._json(tree) if tree else self._missing("EntryNotFound")
        elif path == api or path.startswith(f"{api}/"):
            self._json(self.repo.facts())
        elif path.startswith(resolve):
            _, _, name = path.removeprefix(resolve).partition("/")
            self._file(self.repo.files[name]) if name in self.repo.files else self._missing(
                "EntryNotFound"
            )
        else:
            self._missing("RepoNotFound")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "/paths-info/" not in self.path:
            self._missing("RepoNotFound")
            return
        try:
            paths = json.loads(body)["paths"]
        except ValueError:
            paths = parse_qs(body.decode()).get("paths", [])
        known = [p for p in paths if any(f == p or f.startswith(f"{p}/") for f in self.repo.files)]
        self._json([self.repo.entry(path) for path in known])

    def _file(self, content: bytes) -> None:
        etag = hashlib.sha1(content).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        asked = self.headers.get("Range")
        if asked is None:
            self._send(200, content, headers)
            return
        first, _, last = asked.removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last) + 1 if last else len(content)]
        headers["Content-Range"] = f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"
        self._send(206, part, headers)

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _missing(self, code: str) -> None:
        self._send(404, b"{}", {"X-Error-Code": code})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
