"""What is cached is opened without the network; what is not comes from the Hub."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.builders import checkpoint_of, word_piece
from vecsmith.compression import with_dtype
from vecsmith.errors import FormatError, HubError
from vecsmith.formats import open_checkpoint, push_checkpoint, write_checkpoint
from vecsmith.formats.hub import is_repo_id
from vecsmith.formats.safetensors import write_tensors

pytest.importorskip("huggingface_hub")

SHA = "0123456789abcdef0123456789abcdef01234567"
MODEL = checkpoint_of(word_piece(), dim=4, card={"license": "mit"})


def cached(cache: Path, model: Path, repo_id: str = "org/name", revision: str = "main") -> Path:
    """The snapshot folder of `model` in a cache as huggingface_hub lays it out."""
    repo = cache / f"models--{repo_id.replace('/', '--')}"
    snapshot = repo / "snapshots" / SHA
    (repo / "refs").mkdir(parents=True)
    (repo / "blobs").mkdir()
    (repo / "refs" / revision).write_text(SHA)
    for path in [path for path in sorted(model.rglob("*")) if path.is_file()]:
        blob = repo / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
        shutil.copy(path, blob)
        link = snapshot / path.relative_to(model)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    return snapshot


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    online(monkeypatch, "https://nowhere.invalid")


def online(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Lets huggingface_hub try to reach `endpoint`."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        endpoint + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("revision", [None, "main", SHA])
def test_a_cached_model_is_opened_without_a_socket(tmp_path: Path, revision: str | None) -> None:
    write_checkpoint(tmp_path / "m", MODEL)
    cached(tmp_path / "cache", tmp_path / "m")
    found = open_checkpoint("org/name", cache_folder=tmp_path / "cache", revision=revision)
    np.testing.assert_array_equal(found.table[2:], MODEL.table[2:])
    assert found.source == "org/name"
    assert found.card["license"] == "mit"


@pytest.mark.usefixtures("no_network")
def test_a_cached_model_of_four_bits_is_opened_without_a_socket(tmp_path: Path) -> None:
    packed = with_dtype(MODEL, "int4")
    write_checkpoint(tmp_path / "m", packed)
    cached(tmp_path / "cache", tmp_path / "m")
    found = open_checkpoint("org/name", cache_folder=tmp_path / "cache")
    np.testing.assert_array_equal(found.rows, packed.rows)
    (tmp_path / "m" / "model.int4.safetensors").unlink()
    cached(tmp_path / "other", tmp_path / "m")
    with pytest.raises(HubError, match="not whole in the cache"):
        open_checkpoint("org/name", cache_folder=tmp_path / "other", local_files_only=True)


@pytest.mark.usefixtures("no_network")
def test_a_cached_subfolder_is_opened_without_a_socket(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "m" / "small" / "one", MODEL)
    cached(tmp_path / "cache", tmp_path / "m")
    cache = tmp_path / "cache"
    assert open_checkpoint("org/name", subfolder="small/one", cache_folder=cache).dim == 4


@pytest.mark.usefixtures("no_network")
def test_what_is_not_cached_is_told_apart_from_a_folder(tmp_path: Path) -> None:
    for missing in ("org/name", "name"):
        with pytest.raises(HubError, match="local_files_only forbids"):
            open_checkpoint(missing, cache_folder=tmp_path, local_files_only=True)
    write_checkpoint(tmp_path / "m", MODEL)
    cached(tmp_path / "cache", tmp_path / "m")
    with pytest.raises(HubError, match="not whole in the cache"):
        open_checkpoint(
            "org/name", cache_folder=tmp_path / "cache", revision="v2", local_files_only=True
        )


@pytest.mark.usefixtures("no_network")
def test_a_half_cached_model_is_not_guessed_at(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "m", MODEL)
    # without config.json another program's rules for unknown tokens would hold
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        cache = tmp_path / f"without-{name}"
        (cached(cache, tmp_path / "m") / name).unlink()
        with pytest.raises(HubError, match="not whole in the cache"):
            open_checkpoint("org/name", cache_folder=cache, local_files_only=True)
    # and without modules.json nobody knows whether vectors have unit length
    static = tmp_path / "static"
    static.mkdir()
    (static / "config_sentence_transformers.json").write_text("{}")
    (static / "tokenizer.json").write_text(MODEL.tokenizer_json)
    with (static / "model.safetensors").open("wb") as file:
        write_tensors(file, {"embedding.weight": MODEL.rows})
    cached(tmp_path / "cache", static)
    with pytest.raises(HubError, match="not whole in the cache"):
        open_checkpoint("org/name", cache_folder=tmp_path / "cache", local_files_only=True)
    modules = [{"type": "sentence_transformers.models.StaticEmbedding", "path": ""}]
    (static / "modules.json").write_text(json.dumps(modules))
    shutil.rmtree(tmp_path / "cache")
    cached(tmp_path / "cache", static)
    found = open_checkpoint("org/name", cache_folder=tmp_path / "cache", local_files_only=True)
    assert found.unknown == "keep"


def test_the_offline_variable_forbids_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE forbids"):
        open_checkpoint("org/name", cache_folder=tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        *("../x/y", "/etc/passwd", "a/b/c", "org/..", "org/../x", "./m", "org/na me", "", "org/"),
        *("org\\name", "org/name\0", "https://x/y", "a--b/c", "org/name.git", "-a/b", "a" * 97),
    ],
)
def test_what_can_be_no_id_is_refused_before_anything_is_looked_up(text: str) -> None:
    assert not is_repo_id(text)
    if text and "\0" not in text and not Path(text).is_file():
        with pytest.raises(FormatError, match="no such file or folder"):
            open_checkpoint(text)
    with pytest.raises(ValueError, match="Hub id"):
        push_checkpoint(text, MODEL)


@pytest.mark.parametrize("text", ["org/name", "name", "Org-1/na_me.v2-x", "o/n"])
def test_ordinary_ids_are_ids(text: str) -> None:
    assert is_repo_id(text)


def test_a_revision_that_leaves_the_cache_is_refused(tmp_path: Path) -> None:
    for revision in ("../../x", "a b", "/x", ""):
        with pytest.raises(ValueError, match="revision"):
            open_checkpoint("org/name", revision=revision, cache_folder=tmp_path)


class Hub(ThreadingHTTPServer):
    """Speaks the part of the Hub's protocol that downloads and uploads use, on this machine."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes], status: int = 200, code: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.files = files
        self.status = status
        self.code = code
        self.fetched: list[str] = []
        self.uploaded: dict[str, bytes] = {}
        self.created: list[dict[str, Any]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: Any) -> None:
        """Says nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        hub = self.server
        if hub.status != 200:
            self.answer({"error": "no"}, {"X-Error-Code": hub.code}, hub.status)
        elif path.startswith("/api/models/org/name/tree/"):
            self.answer(
                [
                    {
                        "type": "file",
                        "path": name,
                        "size": len(data),
                        "oid": hashlib.sha1(data).hexdigest(),
                    }
                    for name, data in hub.files.items()
                ]
            )
        elif path.startswith("/api/models/org/name"):
            siblings = [{"rfilename": name} for name in hub.files]
            self.answer({"id": "org/name", "sha": SHA, "siblings": siblings, "tags": []})
        elif path.startswith(f"/org/name/resolve/{SHA}/"):
            name = path.split(SHA + "/")[1]
            data = hub.files[name]
            if self.command == "GET":
                hub.fetched.append(name)
            etag = f'"{hashlib.sha1(data).hexdigest()}"'
            self.answer(data, {"X-Repo-Commit": SHA, "ETag": etag})
        else:
            self.answer({"error": "no such page"}, status=404)

    def do_POST(self) -> None:
        hub = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if hub.status != 200:
            self.answer({"error": "no"}, {"X-Error-Code": hub.code}, hub.status)
        elif self.path == "/api/repos/create":
            hub.created.append(json.loads(body))
            self.answer({"url": f"{hub.address}/org/name", "name": "org/name"})
        elif self.path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            wanted = json.loads(body)["files"]
            self.answer(
                {
                    "files": [
                        {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                        for f in wanted
                    ]
                }
            )
        elif "/commit/" in self.path:
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    value = entry["value"]
                    hub.uploaded[value["path"]] = base64.b64decode(value["content"])
            url = f"{hub.address}/org/name/commit/{SHA}"
            self.answer({"success": True, "commitUrl": url, "commitOid": SHA})
        else:
            self.answer({"error": "no such page"}, status=404)

    def answer(self, value: Any, headers: dict[str, str] | None = None, status: int = 200) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def serve(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> Iterator[Hub]:
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    online(monkeypatch, hub.address)
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    write_checkpoint(tmp_path / "m", MODEL)
    files = {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()}
    files["onnx/model.onnx"] = b"large"
    files["pytorch_model.bin"] = b"larger"
    yield from serve(monkeypatch, Hub(files))


def test_only_the_files_of_the_model_are_downloaded_and_only_once(tmp_path: Path, hub: Hub) -> None:
    cache = tmp_path / "cache"
    found = open_checkpoint("org/name", cache_folder=cache)
    np.testing.assert_array_equal(found.table[2:], MODEL.table[2:])
    ours = sorted(path.name for path in (tmp_path / "m").iterdir() if path.name != "modules.json")
    assert sorted(set(hub.fetched) - {"modules.json"}) == ours
    n_fetched = len(hub.fetched)
    hub.status = 500  # from here on the Hub is of no use
    assert open_checkpoint("org/name", cache_folder=cache).dim == 4
    assert len(hub.fetched) == n_fetched


def test_a_transformer_is_refused_before_its_tensors_are_downloaded(
    tmp_path: Path, hub: Hub
) -> None:
    hub.files["config.json"] = b'{"model_type": "bert"}'
    del hub.files["modules.json"]
    with pytest.raises(FormatError, match="vecsmith distill"):
        open_checkpoint("org/name", cache_folder=tmp_path / "cache")
    assert "model.safetensors" not in hub.fetched


def test_a_subfolder_that_is_not_there_is_named(tmp_path: Path, hub: Hub) -> None:
    with pytest.raises(FormatError, match="no model in folder 'small'"):
        open_checkpoint("org/name", subfolder="small", cache_folder=tmp_path / "cache")
    assert hub.fetched == []


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (404, "RepoNotFound", "no such folder here and no such model on the Hub.*HF_TOKEN"),
        (403, "GatedRepo", "access is granted by its authors.*HF_TOKEN"),
        (404, "RevisionNotFound", "nothing at revision 'v9', expected a branch"),
        (500, "", "the Hub"),
    ],
)
def test_what_the_hub_refuses_is_said_with_a_remedy(
    tmp_path: Path, hub: Hub, status: int, code: str, message: str
) -> None:
    hub.status, hub.code = status, code
    with pytest.raises(HubError, match=message) as caught:
        open_checkpoint("org/name", revision="v9", cache_folder=tmp_path / "cache")
    assert str(caught.value).startswith("org/name")
    assert "\n" not in str(caught.value)


def test_a_hub_that_cannot_be_reached_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    online(monkeypatch, f"http://127.0.0.1:{port}")
    with pytest.raises(HubError, match="the Hub"):
        open_checkpoint("org/name", cache_folder=tmp_path / "cache")


def test_an_uploaded_model_is_the_written_one(tmp_path: Path, hub: Hub) -> None:
    url = push_checkpoint("org/name", MODEL, token="hf_x", private=True)
    assert url.endswith("/org/name")
    assert hub.created[0]["name"] == "name"
    assert hub.created[0].get("private", hub.created[0].get("visibility")) in (True, "private")
    folder = tmp_path / "uploaded"
    folder.mkdir()
    for name, data in hub.uploaded.items():
        (folder / name).write_bytes(data)
    found = open_checkpoint(folder)
    np.testing.assert_array_equal(found.table[2:], MODEL.table[2:])
    assert found.card["model_name"] == "org/name"
    assert 'from_pretrained("org/name")' in (folder / "README.md").read_text(encoding="utf-8")


def test_a_refused_upload_is_said(hub: Hub) -> None:
    hub.status, hub.code = 403, ""
    with pytest.raises(HubError, match="org/name"):
        push_checkpoint("org/name", replace(MODEL), token="hf_x")
