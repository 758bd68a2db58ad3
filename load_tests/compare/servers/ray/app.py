"""The app."""

import time
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from load_tests.compare.chosen import BATCH, DELAY_MS, PORT, THREADS, WORKERS
from load_tests.compare.classifier import Classifier


class Sentiment:
    def __init__(self) -> None:
        self.classifier = Classifier(THREADS)

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=DELAY_MS / 1000)
    async def classify(self, texts: list[str]) -> list[dict[str, Any]]:
        return self.classifier(texts)

    async def __call__(self, request: Request) -> dict[str, Any]:
        return await self.classify((await request.json())["text"])


if __name__ == "__main__":
    deployment = serve.deployment(
        num_replicas=WORKERS,
        max_ongoing_requests=256,
        ray_actor_options={"num_cpus": 0},
        logging_config={"enable_access_log": False},
    )
    ray.init(include_dashboard=False)
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    serve.run(deployment(Sentiment).bind(), blocking=False)
    while True:
        time.sleep(3600)
