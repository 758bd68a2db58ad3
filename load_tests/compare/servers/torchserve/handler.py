"""The handler that the archive carries."""

from typing import Any

from load_tests.compare.chosen import THREADS
from load_tests.compare.classifier import Classifier


class Sentiment:
    def initialize(self, context: Any) -> None:
        del context
        self.classifier = Classifier(THREADS)

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[dict[str, Any]]:
        del context
        return self.classifier([row["body"]["text"] for row in data])
