"""A tokenizer's tokens as they stand in its vocabulary."""

from __future__ import annotations

import json
from pathlib import Path

import tokenizers

from service.errors import ArtifactError

_UNKNOWN_TOKENS = ("[UNK]", "<unk>")


class Vocabulary:
    """Tokens by id, with the marks that they have, such as "##ing" or "▁the". Thread-safe."""

    def __init__(self, tokenizer: tokenizers.Tokenizer, folder: Path) -> None:
        """`tokenizer` is that of `folder`. Raises ArtifactError if the folder's tokenizer_config.json can't be read."""
        self._tokenizer = tokenizer
        self._decoder = tokenizer.decoder
        self.marks_subwords = bool(getattr(tokenizer.model, "continuing_subword_prefix", None))
        """Whether tokens that go on with a word have a mark, as "##ing" has."""
        self.unknown_id = self._unknown_id(folder / "tokenizer_config.json")
        """Id of the token for what is not in the vocabulary; None without one."""

    def _unknown_id(self, path: Path) -> int | None:
        """By tokenizer_config.json, as transformers reads it; by its usual names where that file does not say."""
        try:
            config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{path}: it cannot be read ({error})") from error
        named = config.get("unk_token") if isinstance(config, dict) else None
        named = named.get("content") if isinstance(named, dict) else named
        known = (self._tokenizer.token_to_id(token) for token in (named, *_UNKNOWN_TOKENS) if token)
        return next((token_id for token_id in known if token_id is not None), None)

    def token(self, token_id: int) -> str:
        """A token; "" for an id that has none."""
        return self._tokenizer.id_to_token(token_id) or ""

    def text_of(self, tokens: list[str]) -> str:
        """The text that tokens stand for, by the tokenizer's decoder: transformers' convert_tokens_to_string."""
        return str(self._decoder.decode(tokens)) if self._decoder is not None else " ".join(tokens)
