"""A BART whose weights come from a BERT-like encoder ("A seq2seq from MiniLM" in docs/training.md)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from torch import nn
from transformers import AutoModel, AutoTokenizer, BartConfig, BartForConditionalGeneration, PreTrainedTokenizerFast

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
_SPECIALS_OF_BERT = {"<s>": "[CLS]", "<pad>": "[PAD]", "</s>": "[SEP]", "<unk>": "[UNK]"}


def train_tokenizer(texts: Iterable[str], vocabulary: int, max_length: int) -> PreTrainedTokenizerFast:
    """A cased byte-level BPE of `vocabulary` pieces: nothing is unknown, and decoding gives the spaces back.

    Digits stand alone, so that a number is copied figure by figure instead of remembered.
    """
    tokenizer = Tokenizer(BPE(unk_token=None))
    # The space before the first word is the normalizer's: ByteLevel's own would stand before every digit.
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Prepend(" ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        cls_token="<s>",
        sep_token="</s>",
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )


def _embeddings_from(pieces: PreTrainedTokenizerFast, encoder: nn.Module, wordpieces: Any) -> torch.Tensor:
    """Each piece starts as the mean of the word pieces that spell it, [pieces, hidden]."""
    table = encoder.embeddings.word_embeddings.weight.detach()
    vocabulary = wordpieces.get_vocab()
    made = table.mean(dim=0).repeat(len(pieces), 1)
    for piece, index in pieces.get_vocab().items():
        if piece in _SPECIALS_OF_BERT:
            made[index] = table[vocabulary[_SPECIALS_OF_BERT[piece]]]
            continue
        text = pieces.convert_tokens_to_string([piece])
        inner = vocabulary.get("##" + text.lower()) if not text.startswith(" ") else None
        ids = [inner] if inner is not None else wordpieces(text, add_special_tokens=False)["input_ids"]
        ids = [i for i in ids if i != wordpieces.unk_token_id]
        if ids:
            made[index] = table[ids].mean(dim=0)
    return made


def _copy(target: nn.Module, source: nn.Module) -> None:
    with torch.no_grad():
        for name, weight in target.named_parameters():
            weight.copy_(source.get_parameter(name))


def _fill_attention(target: Any, norm: nn.Module, layer: Any) -> None:
    attention = layer.attention
    _copy(target.q_proj, attention.self.query)
    _copy(target.k_proj, attention.self.key)
    _copy(target.v_proj, attention.self.value)
    _copy(target.out_proj, attention.output.dense)
    _copy(norm, attention.output.LayerNorm)


def _fill_layer(target: Any, layer: Any) -> None:
    """Give a BART layer the weights of a BERT layer; a decoder's cross-attention starts as its self-attention."""
    _fill_attention(target.self_attn, target.self_attn_layer_norm, layer)
    if hasattr(target, "encoder_attn"):
        _fill_attention(target.encoder_attn, target.encoder_attn_layer_norm, layer)
    _copy(target.fc1, layer.intermediate.dense)
    _copy(target.fc2, layer.output.dense)
    _copy(target.final_layer_norm, layer.output.LayerNorm)


def build_seq2seq(base: str, pieces: PreTrainedTokenizerFast, decoder_layers: int) -> BartForConditionalGeneration:
    """Make the encoder-decoder from `base`: its layers encode, and evenly chosen ones of them decode.

    BERT's token type 0 is folded into the positions, which BART shifts by 2.
    """
    encoder = AutoModel.from_pretrained(base)
    wordpieces = AutoTokenizer.from_pretrained(base)
    shape = encoder.config
    model = BartForConditionalGeneration(
        BartConfig(
            vocab_size=len(pieces),
            d_model=shape.hidden_size,
            encoder_layers=shape.num_hidden_layers,
            decoder_layers=decoder_layers,
            encoder_attention_heads=shape.num_attention_heads,
            decoder_attention_heads=shape.num_attention_heads,
            encoder_ffn_dim=shape.intermediate_size,
            decoder_ffn_dim=shape.intermediate_size,
            max_position_embeddings=shape.max_position_embeddings,
            activation_function="gelu",
            scale_embedding=False,
            bos_token_id=0,
            pad_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=2,
            forced_eos_token_id=None,
            attn_implementation="eager",
        )
    )
    layers = encoder.encoder.layer
    step = len(layers) / decoder_layers
    chosen = [layers[round((index + 1) * step) - 1] for index in range(decoder_layers)]
    body = model.model
    with torch.no_grad():
        body.shared.weight.copy_(_embeddings_from(pieces, encoder, wordpieces))
        positions = encoder.embeddings.position_embeddings.weight + encoder.embeddings.token_type_embeddings.weight[0]
        for half, sources in ((body.encoder, layers), (body.decoder, chosen)):
            half.embed_positions.weight[2:].copy_(positions)
            _copy(half.layernorm_embedding, encoder.embeddings.LayerNorm)
            for target, source in zip(half.layers, sources, strict=True):
                _fill_layer(target, source)
    return model
