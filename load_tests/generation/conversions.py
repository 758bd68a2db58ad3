"""The artifact in every form that the other engines load.

    PYTHON -m load_tests.generation.conversions FOLDER       (needs what environments.TORCHED lists)

FOLDER/texts.json holds texts to check with; fp32 (transformers), onnx (Optimum) and ctranslate2 are written beside it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from load_tests.generation.weights import check, restored, save

# What CTranslate2's converter reads and transformers' own configuration of BART no longer has.
_BART = {"normalize_before": False, "normalize_embedding": True, "add_final_layer_norm": False}
_SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "decoder_start_token": "</s>"}
_TOKENS, _SAME = 20, 0.9


def _to_onnx(source: Path, out: Path) -> None:
    from optimum.onnxruntime import ORTModelForSeq2SeqLM

    ORTModelForSeq2SeqLM.from_pretrained(source, export=True).save_pretrained(out)


def _to_ctranslate2(source: Path, out: Path, quantization: str) -> None:
    from ctranslate2.converters import TransformersConverter

    config_file = source / "config.json"
    config = json.loads(config_file.read_text(encoding="utf-8"))
    config_file.write_text(json.dumps(config | _BART, indent=1), encoding="utf-8")
    TransformersConverter(str(source)).convert(str(out), quantization=quantization, force=True)
    config_file = out / "config.json"
    config = completed(json.loads(config_file.read_text(encoding="utf-8")))
    config_file.write_text(json.dumps(config, indent=1), encoding="utf-8")


def completed(config: dict[str, Any]) -> dict[str, Any]:
    """CTranslate2's configuration of a converted model with what its converter leaves out.

    Raises RuntimeError where the special tokens are not BART's: it would begin and end texts with others.
    """
    if any(config.get(name) != token for name, token in _SPECIAL.items()):
        raise RuntimeError(f"CTranslate2's configuration is not BART's: {config}")
    return config | {"layer_norm_epsilon": 1e-5}


def _same_texts(model: Any, folder: Path, source: Path, texts: Sequence[str]) -> float:
    """Share of texts of which both write the same tokens, greedily, in float32."""
    import ctranslate2
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source)
    translator = ctranslate2.Translator(str(folder), compute_type="float32")
    same = 0
    for text in texts:
        row = tokenizer(text, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            written = model.generate(
                row["input_ids"], num_beams=1, do_sample=False, min_new_tokens=_TOKENS, max_new_tokens=_TOKENS
            )
        ours = tokenizer.convert_ids_to_tokens(written[0][1:])
        source_tokens = tokenizer.convert_ids_to_tokens(row["input_ids"][0])
        (result,) = translator.translate_batch(
            [source_tokens], beam_size=1, min_decoding_length=_TOKENS, max_decoding_length=_TOKENS
        )
        same += result.hypotheses[0] == ours
    return same / len(texts)


def main() -> None:
    folder = Path(sys.argv[1])
    texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    model = restored()
    print(f"transformers: {check(model, texts)}", flush=True)
    save(model, folder / "fp32")
    _to_ctranslate2(folder / "fp32", folder / "ctranslate2_float32", "float32")
    same = _same_texts(model, folder / "ctranslate2_float32", folder / "fp32", texts)
    print(f"CTranslate2 in float32 writes the same {_TOKENS} tokens as transformers for {same:.0%} of texts")
    if same < _SAME:
        raise RuntimeError("CTranslate2 converted wrongly")
    _to_ctranslate2(folder / "fp32", folder / "ctranslate2", "int8")
    _to_onnx(folder / "fp32", folder / "onnx")


if __name__ == "__main__":
    main()
