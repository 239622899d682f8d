from pathlib import Path

import pytest

from modelpool_training.tokenizer import MAX_TOKENS, learn_merges, load_tokenizer, write_tokenizer
from modelpool_training.vocabulary import WORDS, all_scenes, sentence


def test_merges_join_each_word_without_breaking_another() -> None:
    merges = learn_merges(("ab", "abc", "bc"))
    assert merges[-1][0] + merges[-1][1] in {"ab</w>", "abc</w>", "bc</w>"}
    assert {left + right for left, right in merges} >= {"ab</w>", "abc</w>", "bc</w>"}


def test_each_word_is_one_token_and_strange_words_fit(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    numbers = set()
    for word in WORDS:
        first, number, last = tokenizer(word).input_ids
        assert (first, last) == (start, end)
        numbers.add(number)
    assert len(numbers) == len(WORDS)
    assert max(len(tokenizer(sentence(scene)).input_ids) for scene in all_scenes()[::50]) == 12
    strange = tokenizer("a wonderful circle 7 ÿ", truncation=True, max_length=MAX_TOKENS).input_ids
    assert tokenizer("circle").input_ids[1] in strange
    assert strange[-1] == end
    long = tokenizer("extraordinary " * 20, truncation=True, max_length=MAX_TOKENS).input_ids
    assert len(long) == MAX_TOKENS


def test_tokenizer_files_are_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_tokenizer(tmp_path / name)
    for file in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


@pytest.mark.parametrize("text", ["", "red", "a red circle on the left on a blue background"])
def test_end_token_closes_every_prompt(tmp_path: Path, text: str) -> None:
    write_tokenizer(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    ids = tokenizer(text, padding="max_length", max_length=MAX_TOKENS).input_ids
    assert len(ids) == MAX_TOKENS
    assert tokenizer.eos_token_id in ids
