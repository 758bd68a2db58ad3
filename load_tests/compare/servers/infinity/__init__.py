"""infinity: its Optimum engine on the int8 graph, dynamic batching in threads."""

from load_tests.compare.contender import TORCH, Contender, app

CONTENDER = Contender(
    name="infinity",
    title="infinity, Optimum engine",
    requirements=("infinity-emb[server,optimum]==0.0.78", TORCH),
    command=("{python}", "-m", app("infinity")),
    environment={"DO_NOT_TRACK": "1", "TOKENIZERS_PARALLELISM": "false"},
    axes={"batch": (4, 8, 16, 32)},
    body=lambda text: {"model": "sentiment", "input": [text]},
    answer=lambda found: max(found["data"][0], key=lambda each: float(each["score"])),
    note="one process; its engine cannot set onnxruntime's threads",
)
