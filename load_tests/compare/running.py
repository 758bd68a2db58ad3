"""A contender's server: started on free ports, ready when it answers, stopped with all that it started."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from load_tests.compare.contender import ROOT, Contender, Setting
from load_tests.compare.environment import python
from load_tests.server import Server, descendants

_PORTS = range(20000, 30000, 10)
_NEIGHBOURS = 6
_READY_S, _STOP_S = 120, 5
# What is in the caller's environment may be meant for our server, or change theirs.
_OURS = ("SHOAL_", "COMPARE_", "OMP_", "TOKENIZERS_", "VIRTUAL_ENV")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False


def free_port() -> int:
    """The first of a few free ports in a row."""
    for first in _PORTS:
        if all(_free(first + each) for each in range(_NEIGHBOURS)):
            return first
    raise RuntimeError("no free ports")


class NoAnswerError(RuntimeError):
    """No answer, or none with a label and a score."""


def ask(contender: Contender, url: str, text: str, *, timeout_s: float = 60) -> dict[str, Any]:
    """One text's label and score. Raises NoAnswerError."""
    request = urllib.request.Request(
        url + contender.path, json.dumps(contender.body(text)).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            found = contender.answer(json.loads(answer.read()))
        return {"label": str(found["label"]), "score": float(found["score"])}
    except (OSError, LookupError, ValueError, TypeError) as error:
        raise NoAnswerError(f"no good answer: {error}") from error


def _wait(contender: Contender, url: str, process: subprocess.Popen[bytes]) -> None:
    give_up_s = time.monotonic() + _READY_S
    reason: object = ""
    while time.monotonic() < give_up_s:
        if process.poll() is not None:
            raise RuntimeError(f"it ended with {process.returncode} at start")
        try:
            ask(contender, url, "Ready?", timeout_s=10)
        except NoAnswerError as error:
            reason = error
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"after {_READY_S} s: {reason}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to end, then end what is left: orphans too, which are this process' own (launch.adopt_orphans)."""
    try:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
    finally:  # also when this process itself is told to end meanwhile
        while left := descendants(os.getpid())[1:]:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(-1, 0)
        process.wait()


def _environment(contender: Contender, setting: Setting, values: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    folder = str(python(contender).parent)
    return {
        **kept,
        "PATH": os.pathsep.join([folder, kept.get("PATH", "")]),
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "COMPARE_PORT": values["port"],
        "COMPARE_WORK": str(contender.work),
        **{f"COMPARE_{name.upper()}": str(value) for name, value in setting.items()},
        **{name: value.format(**values) for name, value in contender.environment.items()},
    }


@contextmanager
def running(contender: Contender, setting: Setting) -> Iterator[Server]:
    """The server with this setting, ready. Raises RuntimeError if it does not come up; its log is in `work`."""
    contender.work.mkdir(parents=True, exist_ok=True)
    port = free_port()
    workers, _, threads = str(setting.get("cpus", "1x1")).partition("x")
    values = {"python": str(python(contender)), "port": str(port), "workers": workers, "threads": threads}
    values |= {"work": str(contender.work)} | {name: str(value) for name, value in setting.items()}
    command = [
        sys.executable,
        "-m",
        "load_tests.compare.launch",
        *(part.format(**values) for part in contender.command),
    ]
    environment = _environment(contender, setting, values)
    began_s = time.perf_counter()
    with (contender.work / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(contender, url, process)
            yield Server(url, process.pid, time.perf_counter() - began_s)
        finally:
            _stop(process)
