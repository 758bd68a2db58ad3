"""Small random BERTs and RoBERTas with any head, whose tokenizers were really trained; and folders served alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from service.config import Settings
from service.engine.registry import Registry
from tests.models.tiny import SENTENCES

KINDS = ("bert", "roberta")
MAX_TOKENS = 40


def save_word_pieces(folder: Path) -> None:
    """A tokenizer as BERT has it, trained on a few sentences."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(SENTENCES, trainers.WordPieceTrainer(vocab_size=160, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.BertTokenizerFast(tokenizer_object=tokenizer, model_max_length=MAX_TOKENS).save_pretrained(folder)


def save_byte_level(folder: Path) -> None:
    """A tokenizer as RoBERTa has it, trained on a few sentences."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    transformers.RobertaTokenizerFast(tokenizer_object=tokenizer, model_max_length=MAX_TOKENS).save_pretrained(folder)


def make(kind: str, head: str, folder: Path, **config: Any) -> Path:
    """A model with a head such as "MaskedLM" and random weights, always the same, saved in `folder`; returns it."""
    torch.manual_seed(7)
    width = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    common = {"initializer_range": 0.3, "max_position_embeddings": 64, **width, **config}
    if kind == "bert":
        save_word_pieces(folder)
        model = getattr(transformers, f"BertFor{head}")(transformers.BertConfig(vocab_size=160, **common))
    else:
        save_byte_level(folder)
        facts = transformers.RobertaConfig(vocab_size=320, type_vocab_size=1, **common)
        model = getattr(transformers, f"RobertaFor{head}")(facts)
    model.eval().save_pretrained(folder)
    return folder


def ask(folder: Path, route: str, inputs: Sequence[Any], parameters: Any) -> list[dict[str, Any]]:
    """The results of one request to a folder that is served alone."""

    async def served() -> list[dict[str, Any]]:
        registry = Registry(Settings(models_dir=folder.parent, models=folder.name, workers=2))
        registry.start()
        try:
            return [asdict(each) for each in (await registry.infer(route, inputs, parameters, None)).results]
        finally:
            registry.close()

    return asyncio.run(served())
