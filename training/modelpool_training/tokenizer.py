"""A byte-pair tokenizer over the few words of the vocabulary, in the files that CLIPTokenizer reads."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

from transformers import CLIPTokenizer

from modelpool_training.vocabulary import WORDS

MAX_TOKENS = 32
_START, _END = "<|startoftext|>", "<|endoftext|>"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"

Pair = tuple[str, str]


def learn_merges(words: tuple[str, ...]) -> list[Pair]:
    """The merges, first to last, that turn each word into one token.

    The most frequent neighbours merge first, as in any byte-pair training, so that no merge breaks another word.
    """
    pieces = [[*word[:-1], word[-1] + "</w>"] for word in words]
    merges: list[Pair] = []
    while True:
        pairs = Counter(pair for word in pieces for pair in pairwise(word))
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        pieces = [_merged(word, best) for word in pieces]


def write_tokenizer(folder: Path) -> None:
    """Write vocab.json, merges.txt and the tokenizer's settings into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    merges = learn_merges(WORDS)
    tokens = [_START, _END, *_LETTERS, *(letter + "</w>" for letter in _LETTERS)]
    tokens += [left + right for left, right in merges]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    vocabulary_file, merges_file = folder / "vocab.json", folder / "merges.txt"
    vocabulary_file.write_text(json.dumps(vocabulary, indent=1) + "\n")
    merges_file.write_text("\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges)]) + "\n")
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": MAX_TOKENS,
        "bos_token": _START,
        "eos_token": _END,
        "unk_token": _END,
        "pad_token": _END,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """The tokenizer that `write_tokenizer` wrote."""
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    return tokenizer


def _merged(word: list[str], pair: Pair) -> list[str]:
    result: list[str] = []
    for piece in word:
        if result and (result[-1], piece) == pair:
            result[-1] += piece
        else:
            result.append(piece)
    return result
