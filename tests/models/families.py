"""Small models with random weights of families whose graphs look unlike BERT's or BART's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as tf

from tests.models.tiny import VOCABULARY, save_tokenizer

_ENCODER = {
    "vocab_size": VOCABULARY, "pad_token_id": 0, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 64, "max_position_embeddings": 64, "initializer_range": 0.2, "num_labels": 3,
}  # fmt: skip
_SEQ2SEQ = {
    "vocab_size": VOCABULARY, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 64,
    "init_std": 0.3, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 3,
}  # fmt: skip
_GPT2 = {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 2, "eos_token_id": 3}
_T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "eos_token_id": 3, "n_positions": 64}
_POSITIONS = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}

CLASSIFIERS: dict[str, Callable[[], tf.PreTrainedModel]] = {
    # A head that puts a GELU on one token's state, [batch, hidden].
    "electra": lambda: tf.ElectraForSequenceClassification(tf.ElectraConfig(**_ENCODER, embedding_size=32)),
    "roformer": lambda: tf.RoFormerForSequenceClassification(tf.RoFormerConfig(**_ENCODER)),
    "bigbird": lambda: tf.BigBirdForSequenceClassification(
        tf.BigBirdConfig(**_ENCODER, hidden_act="gelu", attention_type="original_full")
    ),
    # Reshapes from and to other ranks than [batch, tokens, ...].
    "gpt2": lambda: tf.GPT2ForSequenceClassification(
        tf.GPT2Config(**_GPT2, vocab_size=VOCABULARY, pad_token_id=0, initializer_range=0.2, num_labels=3)
    ),
    "convbert": lambda: tf.ConvBertForSequenceClassification(
        tf.ConvBertConfig(**_ENCODER, embedding_size=32, head_ratio=2, conv_kernel_size=3)
    ),
    # Nodes inside the branches of an If.
    "deberta": lambda: tf.DebertaForSequenceClassification(tf.DebertaConfig(**_ENCODER, **_POSITIONS)),
    "deberta-v2": lambda: tf.DebertaV2ForSequenceClassification(
        tf.DebertaV2Config(**_ENCODER, **_POSITIONS, position_buckets=8, share_att_key=True, norm_rel_ebd="layer_norm")
    ),
    # A head that reads the state of the end-of-text token.
    "bart-classifier": lambda: tf.BartForSequenceClassification(
        tf.BartConfig(**{**_SEQ2SEQ, "vocab_size": 5000}, num_labels=3)
    ),
}

GENERATORS: dict[str, Callable[[], tf.PreTrainedModel]] = {
    "longt5": lambda: tf.LongT5ForConditionalGeneration(
        tf.LongT5Config(**_T5, vocab_size=VOCABULARY, pad_token_id=0, decoder_start_token_id=0)
    ),
    "nllb": lambda: tf.M2M100ForConditionalGeneration(tf.M2M100Config(**_SEQ2SEQ)),
}


def make_family(kind: str, folder: Path) -> Path:
    """Save a model of the kind, always the same, and its tokenizer; return `folder`."""
    folder.mkdir(parents=True)
    torch.manual_seed(7)
    save_tokenizer(folder)
    model: Any = {**CLASSIFIERS, **GENERATORS}[kind]()
    for name, parameter in model.named_parameters():
        if "bias" in name:  # Zero as they come: a bias that is lost or added twice would go unseen.
            torch.nn.init.normal_(parameter, std=0.1)
    model.eval().save_pretrained(folder)
    return folder
