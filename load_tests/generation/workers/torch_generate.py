"""transformers' and Optimum's `generate`, on batches padded to their longest text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, BartForConditionalGeneration

from load_tests.generation.inputs import LONGEST, Request
from load_tests.generation.workers.protocol import Answers, options, serve


def _model(folder: Path, library: str, threads: int) -> Any:
    torch.set_num_threads(threads)
    if library == "transformers":
        return BartForConditionalGeneration.from_pretrained(folder / "fp32").eval()
    import onnxruntime
    from optimum.onnxruntime import ORTModelForSeq2SeqLM

    session = onnxruntime.SessionOptions()
    session.intra_op_num_threads = threads
    session.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ORTModelForSeq2SeqLM.from_pretrained(folder / "onnx", session_options=session)


def main() -> None:
    chosen = options()
    folder = Path(chosen["folder"])
    model = _model(folder, chosen["library"], chosen["threads"])
    tokenizer = AutoTokenizer.from_pretrained(folder / "fp32")
    ends = (model.config.eos_token_id, model.config.pad_token_id)

    def write(requests: list[Request]) -> Answers:
        rows = tokenizer([each.text for each in requests], truncation=True, padding=True, return_tensors="pt")
        longest = max(each.tokens for each in requests)
        with torch.inference_mode():
            written = model.generate(
                **rows,
                do_sample=False,
                num_beams=requests[0].num_beams,
                no_repeat_ngram_size=requests[0].no_repeat_ngram_size,
                min_new_tokens=longest or None,
                max_new_tokens=longest or LONGEST,
            )
        # Rows that are to be shorter are cut: a batch runs until its longest is done, whatever the others do.
        sizes = [
            each.tokens or sum(token not in ends for token in row)
            for each, row in zip(requests, written[:, 1:].tolist(), strict=True)
        ]
        cut = [row[1 : 1 + size] for row, size in zip(written, sizes, strict=True)]
        return list(zip(sizes, tokenizer.batch_decode(cut, skip_special_tokens=True), strict=True))

    serve(write, slots=1)


if __name__ == "__main__":
    main()
