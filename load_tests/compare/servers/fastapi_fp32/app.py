"""The app."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

from load_tests.compare.chosen import FP32, chosen

app = FastAPI()
classifier = pipeline("text-classification", model=str(FP32), device="cpu")


class Request(BaseModel):
    text: str


def classify(request: Request) -> dict[str, Any]:
    return classifier(request.text, truncation=True)[0]


async def classify_on_the_loop(request: Request) -> dict[str, Any]:
    return classifier(request.text, truncation=True)[0]


app.post("/classify")(classify if chosen("route", "def") == "def" else classify_on_the_loop)
