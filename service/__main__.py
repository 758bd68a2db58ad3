"""python -m service: serve what the settings say, in one process."""

from __future__ import annotations

import logging
import os
import signal
import sys

import uvicorn

from service.api.protocol import HttpProtocol
from service.app import create_app
from service.config import read_settings, setting_warnings
from service.engine.registry import Registry
from service.errors import StartupError
from service.process import run_as_batch, spare_garbage_collector

log = logging.getLogger("service")


def main() -> None:
    """Run until SIGTERM or SIGINT; running requests get `shutdown_timeout_s` to finish.

    What keeps the server from starting is one line, and the exit status 1.
    """
    # A terminal that closes sends SIGHUP; other servers read their settings again by it, which ours cannot.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        settings = read_settings()
        logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
        for sentence in setting_warnings(os.environ):
            log.warning(sentence)
        run_as_batch()
        # Before the server starts, which would show the traceback of an operator's mistake.
        registry = Registry(settings)
    except StartupError as error:
        sys.exit(f"ERROR {error}")
    app = create_app(settings, registry)
    spare_garbage_collector()
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        http=HttpProtocol,
        ws="none",
        log_level=settings.log_level,
        access_log=settings.log_level == "debug",
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
        server_header=False,
        proxy_headers=False,  # nothing here depends on a client's address
    )


if __name__ == "__main__":
    main()
