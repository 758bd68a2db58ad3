"""Ours: the service's registry and scheduler, without the HTTP that the others don't have either."""

from __future__ import annotations

import asyncio
import gc
import os
import sys

from load_tests.generation.inputs import ARTIFACT, Request
from load_tests.generation.workers.protocol import answers_line, options, own_stdout, parsed
from load_tests.generation.workers.static import write_to_the_end
from service.config import Settings
from service.engine.registry import Registry
from service.process import run_as_batch
from service.tasks.parameters import SummarizeParameters
from service.tasks.summary_result import SummaryResult

# Refusing would be right for a service, and no answer to the question how fast it is.
_DEADLINE_S = 600


def _parameters(request: Request) -> SummarizeParameters:
    length = {"min_new_tokens": request.tokens, "max_new_tokens": request.tokens} if request.tokens else {}
    return SummarizeParameters(
        strategy="truncate",  # as the other engines do with what is too long for the model
        num_beams=request.num_beams,
        no_repeat_ngram_size=request.no_repeat_ngram_size,
        names_from_source=False,  # no other engine has it
        **length,
    )


async def _serve(registry: Registry, out: int) -> None:
    registry.start()
    reader = asyncio.StreamReader(limit=2**20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    under_way = set()

    async def work(line: bytes) -> None:
        number, (request,) = parsed(line)
        found = await registry.infer("summarize", [request.text], _parameters(request), ARTIFACT.name)
        (summary,) = found.results
        assert isinstance(summary, SummaryResult)
        os.write(out, answers_line(number, [(found.output_tokens, summary.summary)]))

    os.write(out, b"ready\n")
    while line := await reader.readline():
        task = asyncio.create_task(work(line))
        under_way.add(task)
        task.add_done_callback(under_way.discard)


def main() -> None:
    out = own_stdout()
    registry = Registry(Settings(models=ARTIFACT.name, request_timeout_s=_DEADLINE_S))
    if not options()["joins"]:
        write_to_the_end(registry, ARTIFACT.name)
    run_as_batch()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)  # as service.app does
    try:
        asyncio.run(_serve(registry, out))
    finally:
        registry.close()


if __name__ == "__main__":
    main()
