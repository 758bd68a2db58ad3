"""Ours, as `make serve` starts it, with this one model like the others."""

from load_tests.compare.contender import Contender

CONTENDER = Contender(
    name="shoal",
    title="Shoal",
    requirements=(),
    command=("{python}", "-m", "service"),
    environment={"SHOAL_PORT": "{port}", "SHOAL_MODELS": "sentiment", "SHOAL_LOG_LEVEL": "warning"},
    path="/v1/classify",
    body=lambda text: {"inputs": text},
    answer=lambda answer: answer["results"][0],
)
