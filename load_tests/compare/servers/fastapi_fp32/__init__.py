"""What people write first: a transformers pipeline behind a FastAPI route, in float32."""

from load_tests.compare.contender import CPUS, TORCH, Contender, app

CONTENDER = Contender(
    name="fastapi_fp32",
    title="FastAPI + transformers pipeline, fp32",
    requirements=(
        "fastapi==0.165.0",
        TORCH,
        "transformers==4.57.6",
        "uvicorn==0.54.0",
        "uvloop==0.23.0",
        "httptools==0.9.0",
    ),
    command=(
        *("{python}", "-m", "uvicorn", app("fastapi_fp32") + ":app", "--port", "{port}"),
        *("--workers", "{workers}", "--no-access-log"),
    ),
    environment={"OMP_NUM_THREADS": "{threads}", "TOKENIZERS_PARALLELISM": "false"},
    axes={"cpus": CPUS, "route": ("async def", "def")},
    fp32=True,
    note="float32, no batching",
)
