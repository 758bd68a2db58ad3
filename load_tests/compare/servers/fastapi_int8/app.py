"""The app."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from load_tests.compare.chosen import THREADS, chosen
from load_tests.compare.classifier import Classifier

app = FastAPI()
classifier = Classifier(THREADS)


class Request(BaseModel):
    text: str


def classify(request: Request) -> dict[str, Any]:
    return classifier([request.text])[0]


async def classify_on_the_loop(request: Request) -> dict[str, Any]:
    return classifier([request.text])[0]


app.post("/classify")(classify if chosen("route", "def") == "def" else classify_on_the_loop)
