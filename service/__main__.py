"""python -m service: serve what the settings say, in one process."""

from __future__ import annotations

import logging

import uvicorn

from service.app import create_app
from service.config import Settings
from service.cpus import run_as_batch


def main() -> None:
    """Run until SIGTERM or SIGINT; running requests get `drain_s` to finish."""
    settings = Settings()
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    run_as_batch()
    uvicorn.run(
        create_app(settings),
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
