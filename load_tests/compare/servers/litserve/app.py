"""The app."""

from typing import Any

import litserve

from load_tests.compare.chosen import BATCH, DELAY_MS, PORT, THREADS, WORKERS, chosen
from load_tests.compare.classifier import Classifier


class Sentiment(litserve.LitAPI):
    def setup(self, device: str) -> None:
        del device
        self.classifier = Classifier(THREADS)

    def decode_request(self, request: dict[str, Any]) -> str:
        return str(request["text"])

    def batch(self, inputs: list[str]) -> list[str]:
        return inputs

    def predict(self, inputs: list[str]) -> list[dict[str, Any]]:
        return self.classifier(inputs)

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


if __name__ == "__main__":
    server = litserve.LitServer(
        Sentiment(max_batch_size=BATCH, batch_timeout=DELAY_MS / 1000),
        accelerator="cpu",
        workers_per_device=WORKERS,
        fast_queue=chosen("fast_queue", "0") == "1",
    )
    server.run(
        host="127.0.0.1",
        port=PORT,
        num_api_servers=int(chosen("api_servers", "1")),
        generate_client_file=False,
        log_level="warning",
    )
