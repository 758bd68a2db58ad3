"""Marian's tokenizer from the files of a Marian export: source.spm (SentencePiece) and vocab.json (the ids)."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram

from service.errors import ArtifactError
from service.protobuf import fields

# Put before pieces that only the target language has. Source and target share the ids, but a source text must never be
# divided into these pieces; no text holds this character, because the normalizer removes it.
_NEVER = "\x01"

# sentencepiece_model.proto: ModelProto {1: pieces, 2: trainer_spec, 3: normalizer_spec},
# SentencePiece {1: piece, 2: score, 3: type}, TrainerSpec {3: model_type}, NormalizerSpec {2: precompiled_charsmap}.
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_NORMAL = _UNIGRAM = 1
_SPECIALS = {"unk": "<unk>", "eos": "</s>", "pad": "<pad>"}


@dataclass(frozen=True, slots=True)
class _SentencePiece:
    scores: dict[str, float]
    unigram: bool
    charsmap: bytes


def _read(path: Path) -> _SentencePiece:
    scores: dict[str, float] = {}
    unigram, charsmap = True, b""
    for number, value in fields(path.read_bytes()):
        if number == _PIECES:
            piece = dict(fields(value))
            if piece.get(3, _NORMAL) == _NORMAL:
                scores[piece[1].decode()] = struct.unpack("<f", piece.get(2, bytes(4)))[0]
        elif number == _TRAINER:
            unigram = dict(fields(value)).get(3, _UNIGRAM) == _UNIGRAM
        elif number == _NORMALIZER:
            charsmap = dict(fields(value)).get(2, b"")
    return _SentencePiece(scores, unigram, charsmap)


def _pieces(ids: dict[str, int], scores: dict[str, float], specials: set[str]) -> list[tuple[str, float]]:
    """(piece, score) by id. "Piece" is SentencePiece's word for the text of a token."""
    ordered = sorted(ids, key=ids.__getitem__)
    if [ids[piece] for piece in ordered] != list(range(len(ordered))):
        raise ArtifactError("vocab.json: the ids are not 0 to n-1; put a tokenizer.json beside the model")
    kept = specials | scores.keys()
    return [(piece if piece in kept else _NEVER + piece, scores.get(piece, 0.0)) for piece in ordered]


def marian_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer that gives MarianTokenizer's ids for source texts, and its texts for target ids.

    Pieces that vocab.json lacks have no id: a text that holds one is divided into smaller ones, where MarianTokenizer
    gives <unk>. Raises ArtifactError for separate vocabularies, for SentencePiece models other than Unigram, and for
    files that cannot be read.
    """
    settings = folder / "tokenizer_config.json"
    try:
        ids: dict[str, int] = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        facts = json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
        model = _read(folder / "source.spm")
    except (OSError, ValueError, LookupError) as error:
        raise ArtifactError(f"{folder}: Marian's tokenizer cannot be read ({error})") from error
    if facts.get("separate_vocabs") or not model.unigram:
        raise ArtifactError(f"{folder}: this kind of Marian needs a tokenizer.json beside the model")
    unknown, end, padding = (str(facts.get(f"{name}_token") or token) for name, token in _SPECIALS.items())
    specials = [unknown, end, padding, *(piece for piece in ids if piece.startswith(">>") and piece.endswith("<<"))]
    pieces = _pieces(ids, {piece: score for piece, score in model.scores.items() if piece in ids}, set(specials))
    tokenizer = Tokenizer(Unigram(pieces, unk_id=ids[unknown], byte_fallback=False))
    steps = [normalizers.Replace(_NEVER, "")]
    if model.charsmap:
        steps.append(normalizers.Precompiled(model.charsmap))
    steps += [normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip()]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.Replace(_NEVER, ""), decoders.Metaspace()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {end}", pair=f"$A $B {end}", special_tokens=[(end, ids[end])]
    )
    tokenizer.add_special_tokens([AddedToken(piece, normalized=False, special=True) for piece in specials])
    return tokenizer
