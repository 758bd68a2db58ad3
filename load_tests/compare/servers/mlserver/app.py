"""The runtime."""

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from load_tests.compare.chosen import THREADS
from load_tests.compare.classifier import Classifier


class Sentiment(MLModel):
    async def load(self) -> bool:
        self.classifier = Classifier(THREADS)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        found = self.classifier(StringCodec.decode_input(payload.inputs[0]))
        labels = StringCodec.encode_output("label", [each["label"] for each in found])
        scores = NumpyCodec.encode_output("score", np.array([[each["score"]] for each in found]))
        return InferenceResponse(model_name=self.name, outputs=[labels, scores])
