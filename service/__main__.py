"""python -m service: serve what the settings say, in one process."""

from __future__ import annotations

import logging
import os
import signal
import sys

import uvicorn

from service.app import create_app
from service.config import read_settings, unknown_settings
from service.cpus import run_as_batch
from service.errors import StartupError
from service.protocol import HttpProtocol
from service.registry import Registry

log = logging.getLogger("service")


def main() -> None:
    """Run until SIGTERM or SIGINT; running requests get `drain_s` to finish.

    What keeps the server from starting is one line, and the exit status 1.
    """
    # A terminal that closes sends SIGHUP; other servers read their settings again by it, which ours cannot.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        settings = read_settings()
        logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
        for sentence in unknown_settings(os.environ):
            log.warning(sentence)
        run_as_batch()
        # Before the server starts, which would show the traceback of an operator's mistake.
        registry = Registry(settings)
    except StartupError as error:
        sys.exit(f"ERROR {error}")
    uvicorn.run(
        create_app(settings, registry),
        host=settings.host,
        port=settings.port,
        http=HttpProtocol,
        ws="none",
        log_level=settings.log_level,
        access_log=settings.log_level == "debug",
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.drain_s,
        server_header=False,
        proxy_headers=False,  # nothing here depends on a client's address
    )


if __name__ == "__main__":
    main()
