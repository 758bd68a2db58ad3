"""BentoML: a service with a batchable endpoint; its dispatcher chooses batch and wait from what it measured."""

from load_tests.compare.contender import BATCHES, CPUS, RUNTIME, Contender, app

CONTENDER = Contender(
    name="bentoml",
    title="BentoML",
    requirements=("bentoml==1.4.39", *RUNTIME),
    command=(
        "{python}",
        "-m",
        "bentoml",
        "serve",
        app("bentoml") + ":Sentiment",
        "--host",
        "127.0.0.1",
        "--port",
        "{port}",
    ),
    environment={"BENTOML_DO_NOT_TRACK": "true", "BENTOML_HOME": "{work}"},
    axes={"cpus": CPUS, "batch": BATCHES, "latency_ms": (10000, 1000, 100), "route": ("def", "async def")},
    body=lambda text: {"texts": [text]},
    answer=lambda answer: answer[0],
    note="`latency_ms` is the dispatcher's goal, not a delay",
)
