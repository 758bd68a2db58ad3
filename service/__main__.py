"""python -m service: serve what the settings say, in one process."""

from __future__ import annotations

import logging
import os
import signal
import sys

import uvicorn
from pydantic import ValidationError

from service.app import create_app
from service.config import Settings, unknown_settings
from service.cpus import run_as_batch
from service.protocol import HttpProtocol

log = logging.getLogger("service")


def main() -> None:
    """Run until SIGTERM or SIGINT; running requests get `drain_s` to finish."""
    # A terminal that closes sends SIGHUP; other servers read their settings again by it, which ours cannot.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    settings = _settings()
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    for sentence in unknown_settings(os.environ):
        log.warning(sentence)
    run_as_batch()
    uvicorn.run(
        create_app(settings),
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


def _settings() -> Settings:
    """The settings; wrong ones end the process with a line for each."""
    try:
        return Settings()
    except ValidationError as error:
        sys.exit("\n".join(f"SHOAL_{each['loc'][0]}".upper() + f": {each['msg']}." for each in error.errors()))


if __name__ == "__main__":
    main()
