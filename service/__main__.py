"""python -m service: serve what the settings say, in one process."""

from __future__ import annotations

import logging
import sys

import uvicorn

from service.app import create_app
from service.config import read_settings
from service.cpus import run_as_batch
from service.errors import StartupError
from service.registry import Registry


def main() -> None:
    """Run until SIGTERM or SIGINT; running requests get `drain_s` to finish.

    What keeps the server from starting is one line, and the exit status 1.
    """
    try:
        settings = read_settings()
        logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
        run_as_batch()
        registry = Registry(
            settings
        )  # before the server starts, which would show the traceback of an operator's mistake
    except StartupError as error:
        sys.exit(f"ERROR {error}")
    uvicorn.run(
        create_app(settings, registry),
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level,
        access_log=settings.log_level == "debug",
        timeout_graceful_shutdown=settings.drain_s,
        server_header=False,
        proxy_headers=False,  # nothing here depends on a client's address
    )


if __name__ == "__main__":
    main()
