"""Small token classifiers with random weights, and trained tokenizers of three kinds as transformers makes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import sentencepiece
import tokenizers
import torch
import transformers as tf

from tests.models.tiny import SENTENCES

MAX_TOKENS = 40
LABELS = dict(enumerate(("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC")))
_TEXTS = [
    *SENTENCES,
    "Zoë Müller from Aberdeen moved to São Paulo on 12 March 2021, to 221B Baker Street.",
    "東京都の天気は晴れです。",
    "Москва и Київ",
]
_SHAPE = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}


def _word_pieces(folder: Path) -> tf.PreTrainedTokenizerFast:
    trained = tokenizers.BertWordPieceTokenizer(lowercase=True)
    trained.train_from_iterator(_TEXTS, vocab_size=220, min_frequency=1, show_progress=False)
    trained.save_model(str(folder))
    return tf.BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=MAX_TOKENS)


def _byte_level(folder: Path) -> tf.PreTrainedTokenizerFast:
    trained = tokenizers.ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator(_TEXTS, vocab_size=330, min_frequency=1, special_tokens=special, show_progress=False)
    trained.save_model(str(folder))
    files = (str(folder / name) for name in ("vocab.json", "merges.txt"))
    return tf.RobertaTokenizerFast(*files, model_max_length=MAX_TOKENS)


def _unigram(folder: Path) -> tf.PreTrainedTokenizerFast:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_TEXTS * 20), model_prefix=str(folder / "sentencepiece"), vocab_size=140,
        model_type="unigram", character_coverage=0.98, minloglevel=2, hard_vocab_limit=False,
    )  # fmt: skip
    return tf.XLMRobertaTokenizerFast(str(folder / "sentencepiece.model"), model_max_length=MAX_TOKENS)


TAGGERS: dict[
    str, tuple[Callable[[Path], tf.PreTrainedTokenizerFast], type[tf.PretrainedConfig], type[tf.PreTrainedModel]]
] = {
    "bert": (_word_pieces, tf.BertConfig, tf.BertForTokenClassification),
    "roberta": (_byte_level, tf.RobertaConfig, tf.RobertaForTokenClassification),
    "xlm-roberta": (_unigram, tf.XLMRobertaConfig, tf.XLMRobertaForTokenClassification),
}


def make_tagger(kind: str, folder: Path) -> Path:
    """Save a model of the kind, always the same, and its tokenizer; return `folder`."""
    folder.mkdir(parents=True)
    make_tokenizer, config_type, model_type = TAGGERS[kind]
    tokenizer = make_tokenizer(folder)
    torch.manual_seed(7)
    config = config_type(
        **_SHAPE, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, initializer_range=0.2,
        max_position_embeddings=64, id2label=LABELS, label2id={name: number for number, name in LABELS.items()},
    )  # fmt: skip
    model = model_type(config).eval()
    with torch.no_grad():  # All labels as often: what all tokens have in common would else decide.
        logits = model(torch.arange(len(tokenizer)).unfold(0, 20, 20)).logits
        model.classifier.bias -= logits.mean((0, 1))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
