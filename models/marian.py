"""The Marian tokenizer as a tokenizer.json: its SentencePiece model, with the ids of its vocab.json."""

from __future__ import annotations

import logging
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram
from transformers import MarianTokenizer
from transformers.convert_slow_tokenizer import import_protobuf

logger = logging.getLogger(__name__)

# Put before the pieces that only the target language has: ids must be the same for reading and writing, but a source
# text must never be cut into them. No text holds this character, since the normalizer removes it.
_NEVER = "\x01"

_NORMAL, _UNIGRAM = 1, 1  # ModelProto.SentencePiece.Type.NORMAL, TrainerSpec.ModelType.UNIGRAM


def _vocabulary(encoder: dict[str, int], scores: dict[str, float], kept: set[str]) -> list[tuple[str, float]]:
    """(piece, score) by id; ids must be 0 to n-1."""
    by_id = sorted(encoder.items(), key=lambda item: item[1])
    if [number for _, number in by_id] != list(range(len(by_id))):
        raise ValueError("vocab.json: the ids are not 0 to n-1; save the model with a fast tokenizer (tokenizer.json)")
    return [
        (piece, scores.get(piece, 0.0)) if piece in scores or piece in kept else (_NEVER + piece, 0.0)
        for piece, _ in by_id
    ]


def marian_tokenizer(slow: MarianTokenizer) -> Tokenizer:
    """Build the fast tokenizer that gives the ids of `slow` for source texts and its words for target ids.

    Pieces of the SentencePiece model that vocab.json lacks cannot be numbered; they are left out, so a text that holds
    one is cut into smaller pieces where MarianTokenizer writes <unk>.

    Raises ValueError for models with separate vocabularies or without a Unigram SentencePiece model.
    """
    if slow.separate_vocabs:
        raise ValueError("Marian with separate vocabularies has no single tokenizer.json: supply one beside the model")
    proto = import_protobuf().ModelProto()
    proto.ParseFromString(Path(slow.spm_files[0]).read_bytes())
    if proto.trainer_spec.model_type != _UNIGRAM:
        raise ValueError("source.spm is not a Unigram model: supply a tokenizer.json beside the model")
    scores = {piece.piece: piece.score for piece in proto.pieces if piece.type == _NORMAL}
    missing = [piece for piece in scores if piece not in slow.encoder]
    if missing:
        logger.warning("%d pieces of source.spm are not in vocab.json and are left out: %s", len(missing), missing[:5])
    specials = [str(slow.unk_token), str(slow.eos_token), str(slow.pad_token), *slow.supported_language_codes]
    vocabulary = _vocabulary(slow.encoder, {p: s for p, s in scores.items() if p in slow.encoder}, set(specials))

    tokenizer = Tokenizer(Unigram(vocabulary, unk_id=slow.encoder[str(slow.unk_token)], byte_fallback=False))
    steps: list[normalizers.Normalizer] = [normalizers.Replace(_NEVER, "")]
    if proto.normalizer_spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap))
    steps += [normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip()]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.Replace(_NEVER, ""), decoders.Metaspace()])
    eos = str(slow.eos_token)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {eos}", pair=f"$A $B {eos}", special_tokens=[(eos, slow.encoder[eos])]
    )
    tokenizer.add_special_tokens([AddedToken(piece, normalized=False, special=True) for piece in specials])
    return tokenizer
