"""What can be said of the image without an engine: what goes in, who runs it, how its health is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from service.config import Settings

Instruction = tuple[str, str]


def instructions(root: Path) -> list[Instruction]:
    """(name, arguments) of each, continued lines joined, comments left out."""
    text = (root / "Dockerfile").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    pairs = [line.split(maxsplit=1) for line in lines.splitlines() if line.strip()]
    return [(name, " ".join(arguments.split())) for name, arguments in pairs]


def only(root: Path, name: str) -> str:
    (argument,) = [arguments for found, arguments in instructions(root) if found == name]
    return argument


def test_what_is_copied_exists_and_passes_dockerignore(root: Path) -> None:
    allowed = {
        line[1:] for line in (root / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")
    }
    copied = {
        source
        for name, arguments in instructions(root)
        if name == "COPY" and not arguments.startswith("--from")
        for source in arguments.split()[:-1]
    }
    assert copied == allowed
    assert all((root / source).exists() for source in copied)


def test_settings_it_names_are_settings(root: Path) -> None:
    named = [word.partition("=")[0] for word in only(root, "ENV").split() if word.startswith("SHOAL_")]
    assert named
    assert {name.removeprefix("SHOAL_").lower() for name in named} <= set(Settings.model_fields)


def test_it_runs_one_process_as_nobody_special(root: Path) -> None:
    assert only(root, "USER").split(":")[0] not in {"root", "0"}
    assert json.loads(only(root, "CMD")) == ["python", "-m", "service"]
    assert only(root, "EXPOSE") == str(Settings.model_fields["port"].default)


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_health_check(root: Path, status: int, healthy: bool) -> None:
    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    command = json.loads(only(root, "HEALTHCHECK").partition(" CMD ")[2])
    server = HTTPServer(("127.0.0.1", 0), Health)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        environment = {**os.environ, "SHOAL_PORT": str(server.server_port)}
        done = subprocess.run([sys.executable, *command[1:]], env=environment, capture_output=True, check=False)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert (done.returncode == 0) is healthy
