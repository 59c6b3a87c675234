"""Tokens and ids: order, limits, what is unknown, and text of any kind."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from darts_engine.data.text.corpus import Corpus
from darts_engine.data.text.source import CHARACTERS, WORDS, Text
from darts_engine.data.text.vocabulary import LONGEST_WORD, Vocabulary, apart, numbered
from darts_engine.run.errors import ConfigError, DataError

TOY = Text("toy", "b a b\n\n c a \n", "a d\n", "e <unk> e d\n")


def lists(parts):
    return [part.tolist() for part in parts]


def test_ids_are_in_the_order_of_train_and_what_it_lacks_is_unknown():
    tokens, parts, lost = numbered(TOY, WORDS, 0)
    assert tokens.words == ["b", "a", "<eos>", "c", "<unk>"]
    assert lists(parts) == [[0, 1, 0, 2, 2, 3, 1, 2], [1, 4, 2], [4, 4, 4, 4, 2]]
    assert lost == [0, 1, 3]
    assert parts[0].dtype == torch.int64


def test_a_closed_text_has_the_words_of_all_parts_in_the_official_order():
    closed = Text("toy", TOY.train, TOY.valid, TOY.test, closed=True)
    tokens, parts, lost = numbered(closed, WORDS, 0)
    assert tokens.words == ["b", "a", "<eos>", "c", "d", "e", "<unk>"]
    assert lists(parts) == [[0, 1, 0, 2, 2, 3, 1, 2], [1, 4, 2], [5, 6, 5, 4, 2]]
    assert lost == [0, 0, 0]


def test_a_limit_keeps_the_most_frequent_and_of_equals_the_earlier():
    text = Text("toy", "x y y z z w w w\n", "y x\n", "v\n")
    tokens, parts, lost = numbered(text, WORDS, 4)
    assert tokens.words == ["y", "w", "<eos>", "<unk>"]
    assert lists(parts) == [[3, 0, 0, 3, 3, 1, 1, 1, 2], [0, 3, 2], [3, 2]]
    assert lost == [3, 1, 1]
    assert len(numbered(text, WORDS, 6)[0]) == 6, "w, x, y, z, <eos> and <unk>"
    assert len(numbered(text, WORDS, 5)[0]) == 5
    assert len(numbered(text, WORDS, 100)[0]) == 6
    for limit in (1, 2):
        with pytest.raises(ConfigError, match=r"has no room beside <eos> and <unk>"):
            numbered(text, WORDS, limit)


def test_an_unknown_of_the_text_itself_counts_once():
    text = Text("toy", "a a b <unk>\n", "b\n", "a\n", closed=True)
    assert numbered(text, WORDS, 4)[0].words == ["a", "b", "<unk>", "<eos>"]
    tokens, parts, lost = numbered(text, WORDS, 3)
    assert tokens.words == ["a", "<unk>", "<eos>"]
    assert (lists(parts)[0], lost) == ([0, 0, 1, 1, 2], [1, 1, 0])


def test_words_that_are_rare_in_train_are_unknown_in_it_too():
    text = Text("toy", "a b a c\nc\n", "b a\n", "d\n", least=2)
    tokens, parts, lost = numbered(text, WORDS, 0)
    assert tokens.words == ["a", "c", "<eos>", "<unk>"]
    assert (lists(parts)[0], lost) == ([0, 3, 0, 1, 2, 1, 2], [1, 1, 1])


def test_characters_are_tokens_and_so_is_the_end_of_a_line():
    tokens, parts, lost = numbered(Text("toy", "ab a\n", "ba", "cé\n"), CHARACTERS, 0)
    assert tokens.words == ["a", "b", " ", "\n", "<unk>"]
    assert lists(parts) == [[0, 1, 2, 0, 3], [1, 0, 3], [4, 4, 3]]
    assert lost == [0, 0, 2]
    assert tokens.text(parts[0]) == "ab a\n"
    limited, _, _ = numbered(Text("toy", "abaab\n", "a", "b\n"), CHARACTERS, 2)
    assert limited.words == ["a", "<unk>"]


@pytest.mark.parametrize("kind", [WORDS, CHARACTERS])
@pytest.mark.parametrize("part", ["", "\n\n \n", [], ["", ""]])
def test_an_empty_part_is_named(kind, part):
    if kind == CHARACTERS and part == "\n\n \n":
        part = "\n\n"
    with pytest.raises(DataError, match=rf"this part of the text has no {kind}\ntoy, valid\n"):
        numbered(Text("toy", "a\n", part, "a\n"), kind, 0)


def test_a_word_without_end_is_refused():
    piece = "x" * 70_000
    with pytest.raises(DataError, match=r"more than 100,000 characters\ntoy, train: 'xxxx"):
        numbered(Text("toy", [piece, piece, " a"], "a", "a"), WORDS, 0)
    for whole in (f"{piece * 2} a", f"a {piece * 2}\n"):
        with pytest.raises(DataError, match="more than 100,000 characters"):
            numbered(Text("toy", "a", whole, "a"), WORDS, 0)
    _, parts, _ = numbered(Text("toy", ["x" * LONGEST_WORD, "\ta"], "a", "a"), WORDS, 0)
    assert lists(parts)[0] == [0, 1, 2]


ODD = st.text(st.sampled_from("ab \n\t\u00a0\u2028é<>eos\U0001f600"), max_size=30)


@given(ODD, st.lists(st.integers(0, 30), max_size=5))
def test_pieces_make_no_difference(text, cuts):
    whole = f"first {text}"
    at = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    pieces = [whole[a:b] for a, b in itertools.pairwise(at)]
    for kind in (WORDS, CHARACTERS):
        one = numbered(Text("toy", whole, whole, whole), kind, 0)
        many = numbered(Text("toy", pieces, whole, iter(pieces)), kind, 0)
        assert one[0] == many[0]
        assert lists(one[1]) == lists(many[1])
        assert lists(one[1])[0] == lists(one[1])[2]


@given(ODD)
def test_words_are_those_of_the_official_tokenizer(text):
    whole = f"first {text}"
    expected = []
    lines = whole.split("\n")
    for line in lines if lines[-1] else lines[:-1]:
        expected += [*line.split(), "<eos>"]
    tokens, parts, _ = numbered(Text("toy", whole, "first", "first"), WORDS, 0)
    assert [tokens.words[i] for i in parts[0]] == expected


@given(ODD)
def test_ids_and_text_are_each_other_s_inverse(text):
    tokens, parts, _ = numbered(Text("toy", f"first {text}\n", "first", "first"), CHARACTERS, 0)
    assert tokens.ids(tokens.text(parts[0])).equal(parts[0])
    tokens, parts, _ = numbered(Text("toy", f"first {text}\n", "first", "first"), WORDS, 0)
    assert tokens.ids(tokens.text(parts[0])).equal(parts[0])


KNOWN = Vocabulary(["in", "the", "beginning", ",", "<eos>", "God", "man", "'s", "<unk>"])


def test_ids_of_a_text_are_of_its_words_as_they_stand():
    assert KNOWN.ids("in the\nBeginning").tolist() == [0, 1, 4, 8]
    assert KNOWN.ids("").dtype == torch.int64
    assert KNOWN.unknown == 8
    assert "God" in KNOWN
    assert "god" not in KNOWN


def test_what_a_person_types_finds_its_words():
    ids, unknown = KNOWN.prompt("In THE beginning, God made man's\nthing, ...")
    assert [KNOWN.words[i] for i in ids] == (
        "in the beginning , God <unk> man 's <eos> <unk> , <unk> <unk> <unk>".split()  # noqa: SIM905
    )
    assert unknown == ["made", "thing", ".", ".", "."]
    assert KNOWN.text(ids[:9]) == "in the beginning , God <unk> man 's\n"


def test_without_an_unknown_a_strange_word_is_refused():
    known = Vocabulary(["one", "two", "<eos>"])
    with pytest.raises(
        DataError, match=r"'twoo' is not in the vocabulary.*\n.*\ndid you mean 'two'"
    ):
        known.prompt("one twoo")
    letters = Vocabulary(list("ab\n"), CHARACTERS)
    assert letters.prompt("ab\n")[0].tolist() == [0, 1, 2]
    with pytest.raises(DataError, match="'A' is not in the vocabulary"):
        letters.ids("A")


def test_apart_sets_punctuation_apart_in_lower_case():
    assert apart("And he said, (Lo!) man's\n feet;") == "and he said , ( lo ! ) man 's\nfeet ;"


def test_a_unigram_model_by_hand():
    ids = [torch.tensor(part) for part in ([0, 0, 0, 1, 2, 2], [0, 2], [1])]
    corpus = Corpus("toy", Vocabulary(["a", "b", "<eos>", "<unk>"]), *ids)
    # Counts 3, 1, 2, 0 are 4, 2, 3, 1 of 10.
    assert corpus.unigram_perplexity() == pytest.approx((0.4 * 0.3) ** -0.5)
    assert corpus.unigram_perplexity("test") == pytest.approx(5)
