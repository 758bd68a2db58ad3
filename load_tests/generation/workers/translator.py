"""CTranslate2 in int8: its own threads, one call a batch."""

from __future__ import annotations

import json
from pathlib import Path

import ctranslate2
import tokenizers

from load_tests.generation.inputs import LONGEST, Request
from load_tests.generation.workers.protocol import Answers, options, serve


class Translator:
    """The model and its tokenizer."""

    def __init__(self, folder: Path, *, slots: int, threads: int) -> None:
        self._translator = ctranslate2.Translator(
            str(folder / "ctranslate2"), compute_type="int8", inter_threads=slots, intra_threads=threads
        )
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "fp32" / "tokenizer.json"))
        limits = json.loads((folder / "fp32" / "tokenizer_config.json").read_text(encoding="utf-8"))
        self._tokenizer.enable_truncation(limits["model_max_length"])
        self._tokenizer.no_padding()

    def write(self, requests: list[Request]) -> Answers:
        """One call for all of them."""
        sizes = [each.tokens for each in requests]
        longest = max(sizes)
        # A row that has its length leaves the batch, as if its end token had come.
        stop = (lambda step: step.step + 1 >= sizes[step.batch_id]) if longest and len(requests) > 1 else None
        results = self._translator.translate_batch(
            [row.tokens for row in self._tokenizer.encode_batch([each.text for each in requests])],
            beam_size=requests[0].num_beams,
            no_repeat_ngram_size=requests[0].no_repeat_ngram_size,
            min_decoding_length=longest or 1,
            max_decoding_length=longest or LONGEST,
            callback=stop,
        )
        written = [[self._tokenizer.token_to_id(token) for token in result.hypotheses[0]] for result in results]
        return list(zip(map(len, written), self._tokenizer.decode_batch(written), strict=True))


def main() -> None:
    chosen = options()
    translator = Translator(Path(chosen["folder"]), slots=chosen["slots"], threads=chosen["threads"])
    serve(translator.write, slots=chosen["slots"])


if __name__ == "__main__":
    main()
