"""The least that serves the same graph: one session behind a FastAPI route, a text at a time."""

from load_tests.compare.contender import CPUS, RUNTIME, Contender, app

CONTENDER = Contender(
    name="fastapi_int8",
    title="FastAPI + onnxruntime int8",
    requirements=("fastapi==0.165.0", "uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0", *RUNTIME),
    command=(
        *("{python}", "-m", "uvicorn", app("fastapi_int8") + ":app", "--port", "{port}"),
        *("--workers", "{workers}", "--no-access-log"),
    ),
    axes={"cpus": (*CPUS, "1x1"), "route": ("def", "async def")},
    note="no batching; 1x1 runs on all cores too, from the route's thread pool",
)
