"""Where texts come from: what is read, what is noted, and what is refused in which words."""

import codecs
import contextlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darts_engine.data.text import plain_file
from darts_engine.data.text.corpus import read
from darts_engine.data.text.plain_file import pieces
from darts_engine.data.text.source import Counts
from darts_engine.data.text.sources import published
from darts_engine.data.watch import Unwatched
from darts_engine.run.errors import ConfigError, DataError, NotFoundError
from darts_engine.run.settings.sections import DataSection
from darts_engine.run.settings.text_sections import TextSection

# As in the published files: a blank before a line, headings and empty lines in WikiText.
PENN = " no it was n't black <unk>\n but it was N N late\n"
WIKI = " \n = Robert <unk> = \n \n Robert is a player @-@ manager . \n"
RAW = " \n = Robert Boulter = \n \n Robert is a player @-@ manager . \n"


class Watch(Unwatched):
    """Keeps the notes."""

    def __init__(self):
        self.notes = []

    def note(self, message, level="info"):
        self.notes.append((level, message))


def corpus_of(dataset, watch=None, batch=2, **settings):
    data = DataSection(dataset=str(dataset), batch_size=batch)
    return read(data, TextSection(**({"eval_batch": 1} | settings)), watch)


def written(folder, pattern="{}.txt", text="one two\nthree\n", **parts):
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "valid", "test"):
        content = parts.get(part, text)
        data = content if isinstance(content, bytes) else content.encode()
        (folder / pattern.format(part)).write_bytes(data)
    return folder


def refused(dataset, **settings):
    """The lines of the error."""
    with pytest.raises(DataError) as caught:
        corpus_of(dataset, **settings)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3, lines
    return lines


def test_the_bundled_verses_are_whole_and_in_three_parts():
    watch = Watch()
    verses = corpus_of("verses", watch, batch=16, eval_batch=10)
    assert len(verses.tokens) == 2_119
    assert [len(part) for part in (verses.train, verses.valid, verses.test)] == [82838, 10947, 8500]
    assert verses.tokens.text(verses.train[:18]).startswith("the book of the generation of jesus")
    # Matthew 5:1 and 10:1 are the first verses of the other two parts.
    assert verses.tokens.text(verses.valid[:6]) == "and seeing the multitudes , he"
    assert verses.tokens.text(verses.test[:6]) == "and when he had called unto"
    lines = sum(int((part == verses.tokens.ids("\n")).sum()) for part in
                (verses.train, verses.valid, verses.test))  # fmt: skip
    assert lines == 3_779
    assert verses.unigram_perplexity() == pytest.approx(206.707, abs=1e-3)
    ((level, note),) = watch.notes
    assert (level, "train 1,044 (1.3%), valid 443 (4.0%)" in note) == ("info", True)


def test_the_characters_of_the_verses_are_as_printed():
    verses = corpus_of("verses", batch=16, tokens="characters")
    assert verses.tokens.text(verses.train[:9]) == "The book "
    assert len(verses.tokens) == 61
    assert len(corpus_of("verses", batch=16, tokens="characters", vocabulary=30).tokens) == 30


def test_a_vocabulary_may_be_limited():
    verses = corpus_of("verses", batch=16, vocabulary=500)
    assert len(verses.tokens) == 500
    assert int(verses.train.max()) == 499


def test_a_folder_of_three_files(tmp_path):
    root = written(tmp_path, train="a b a\nc b\n", valid="b d\n", test="a\nb")
    watch = Watch()
    found = corpus_of(f"text:{root}", watch)
    assert found.tokens.words == ["a", "b", "<eos>", "c", "<unk>"]
    assert found.train.tolist() == [0, 1, 0, 2, 3, 1, 2]
    assert (found.valid.tolist(), found.test.tolist()) == ([1, 4, 2], [0, 2, 1, 2])
    assert [level for level, _ in watch.notes] == ["info", "warning"]
    assert "valid 1 (33.3%)" in watch.notes[0][1]
    assert "train has no <unk>" in watch.notes[1][1]


def test_a_missing_file_of_a_folder_is_named(tmp_path):
    root = written(tmp_path / "mine")
    (root / "valid.txt").rename(root / "val.txt")
    what, where, remedy = refused(f"text:{root}")
    assert what == "text: there is nothing at this path"
    assert where == str(root / "valid.txt")
    assert remedy == "did you mean 'val.txt'?"
    (tmp_path / "mine" / "val.txt").unlink()
    assert refused(f"text:{tmp_path}/mine")[2] == "a folder has train.txt, valid.txt and test.txt"
    assert refused(f"text:{tmp_path}/main")[2] == "did you mean 'mine'?"
    with pytest.raises(DataError, match="write text:PATH"):
        corpus_of("text:")
    with pytest.raises(NotFoundError, match="did you mean 'verses'"):
        corpus_of("verse")


@pytest.mark.parametrize(
    ("lines", "split"), [(3, (1, 1, 1)), (4, (2, 1, 1)), (5, (3, 1, 1)), (10, (8, 1, 1)),
                         (25, (20, 2, 3)), (200, (160, 20, 20))]
)  # fmt: skip
def test_a_file_is_split_by_lines(tmp_path, lines, split):
    path = tmp_path / "all.txt"
    path.write_text("".join(f"line w{i} \x0b\n" for i in range(lines)))
    found = corpus_of(f"text:{path}", batch=1)
    assert tuple(len(part) // 3 for part in (found.train, found.valid, found.test)) == split


@pytest.mark.parametrize("text", ["one two three four\n", "one\ntwo three", "\n"])
def test_a_file_of_few_lines_cannot_be_split(tmp_path, text):
    path = tmp_path / "all.txt"
    path.write_text(text)
    assert "cannot be split into train, valid and test" in refused(f"text:{path}")[0]


CASES = {
    "Latin-1": (b"one two\ncaf\xe9 tr\xe8s\n", "line 2 is not UTF-8: byte 0xe9"),
    "cut": (b"one two\ncaf\xc3", "line 2 is not UTF-8: byte 0xc3"),
    "mixed": ("é\n\n".encode() + b"\xe9 a\n", "line 3 is not UTF-8: byte 0xe9"),
    "UTF-16": (codecs.BOM_UTF16_LE + "one".encode("utf-16-le"), "the file is UTF-16"),
    "NUL": (b"one two\nthree\n\n\0", "line 4 has a NUL"),
    "gzip": (b"\x1f\x8b\x08\0\0", "the file is a gzip archive"),
    "empty": (b"", "this part of the text has no words"),
    "no words": (b" \n\n\t\n", "this part of the text has no words"),
    "a mark only": (codecs.BOM_UTF8, "this part of the text has no words"),
}


@pytest.mark.parametrize("part", ["train", "valid", "test"])
@pytest.mark.parametrize("case", CASES)
def test_what_is_no_text_is_refused_with_its_file_and_line(tmp_path, case, part):
    content, words = CASES[case]
    what, where, _ = refused(f"text:{written(tmp_path, **{part: content})}")
    assert words in what
    assert part in where
    assert str(tmp_path) in where


@pytest.mark.parametrize("text", ["one é\r\n\r\ntwo\r\n", "one é\r\rtwo", "\ufeffone é\n\ntwo"])
def test_ends_of_line_and_a_byte_order_mark_make_no_difference(tmp_path, text):
    plain = corpus_of("text:" + str(written(tmp_path / "plain", text="one é\n\ntwo\n")))
    other = corpus_of("text:" + str(written(tmp_path / "other", text=text)))
    assert other.tokens == plain.tokens
    assert other.valid.equal(plain.valid)


@pytest.mark.parametrize("piece", [1, 2, 3, 7])
def test_files_are_read_in_pieces_wherever_they_are_cut(tmp_path, monkeypatch, piece):
    path = tmp_path / "odd.txt"
    content = "\ufeffone é\r\n\r\n\U0001f600 two\rthree\r\n"
    path.write_bytes(content.encode())
    monkeypatch.setattr(plain_file, "PIECE", piece)
    assert "".join(pieces(path)) == "one é\n\n\U0001f600 two\nthree\n"
    assert max(map(len, pieces(path))) <= piece + 1


ODD = st.lists(
    st.sampled_from(
        [b"a", b" ", b"\n", b"\r", b"\0", b"\xc3", b"\xa9", b"\xef\xbb\xbf", b"\xff\xfe", b"PK"]
    ),
    max_size=12,
)


@given(ODD, st.integers(1, 5))
def test_any_bytes_are_read_as_python_reads_them_or_refused(odd, piece):
    data = b"".join(odd)
    with tempfile.NamedTemporaryFile() as file, pytest.MonkeyPatch.context() as patch:
        file.write(data)
        file.flush()
        patch.setattr(plain_file, "PIECE", piece)
        path = Path(file.name)
        with contextlib.suppress(DataError):
            assert "".join(pieces(path)) == path.read_text("utf-8-sig")


def test_pipes_devices_folders_and_giants_are_not_read(tmp_path, monkeypatch):
    root = written(tmp_path)
    (root / "valid.txt").unlink()
    os.mkfifo(root / "valid.txt")
    assert refused(f"text:{root}")[0] == "the text is a pipe, a socket or a device, not a file"
    assert "a device" in refused("text:/dev/zero")[0]
    (root / "valid.txt").unlink()
    (root / "valid.txt").mkdir()
    assert refused(f"text:{root}")[0] == "the text is a folder, not a file"
    with (root / "train.txt").open("r+b") as file:
        file.truncate(plain_file.MAX_BYTES + 1)
    assert refused(f"text:{root}")[0] == "the text is larger than 128 MiB"
    (root / "train.txt").write_text("one two three\n" * 9)


def test_a_file_that_grows_while_it_is_read_is_not_read_for_ever(tmp_path, monkeypatch):
    path = tmp_path / "log.txt"
    path.write_text("one\n" * 16)
    monkeypatch.setattr(plain_file, "PIECE", 32)
    monkeypatch.setattr(plain_file, "MAX_BYTES", 100)
    with pytest.raises(DataError, match="larger than"):  # noqa: PT012
        for _ in pieces(path):
            with path.open("a") as file:
                file.write("two\n" * 16)


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    root = written(tmp_path)

    def denied(path, flags):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(plain_file.os, "open", denied)
    what, where, _ = refused(f"text:{root}")
    assert (what, where) == ("the text cannot be read: Permission denied", f"{root}/train.txt")


def test_parts_that_are_too_short_for_their_columns(tmp_path):
    root = written(tmp_path, text="a b c\n" * 5)
    assert corpus_of(f"text:{root}", batch=6, eval_batch=6).columns("train", 6).shape == (3, 6)
    what, where, remedy = refused(f"text:{root}", batch=7)
    assert what == "the train part has 20 tokens: 7 columns of at least 3 need 21"
    assert (where, "--batch-size" in remedy) == (str(root), True)
    assert "the valid part has 20 tokens" in refused(f"text:{root}", eval_batch=7)[0]


def test_tokens_are_words_or_characters():
    with pytest.raises(ConfigError, match="there are no tokens 'letters'"):
        corpus_of("verses", tokens="letters")


@pytest.mark.parametrize("pattern", ["ptb.{}.txt", "{}.txt"])
@pytest.mark.parametrize("within", ["", "data"])
def test_penn_has_its_names_and_a_warning_when_its_counts_differ(tmp_path, pattern, within):
    written(tmp_path / within, pattern, PENN)
    watch = Watch()
    found = corpus_of(f"penn:{tmp_path}", watch)
    assert found.tokens.text(found.valid) == "no it was n't black <unk>\nbut it was N N late\n"
    ((level, note),) = watch.notes
    assert level == "warning"
    assert "14, 14 and 14 tokens of 10 kinds" in note
    assert "929,589, 73,760 and 82,430 tokens of 10,000 kinds" in note


def test_the_published_counts_are_met_without_a_word(tmp_path, monkeypatch):
    written(tmp_path / "penn", "ptb.{}.txt", PENN)
    monkeypatch.setenv("DARTS_TUI_DATA", str(tmp_path))
    monkeypatch.setattr(published, "PENN", Counts(14, 14, 14, 10))
    watch = Watch()
    corpus_of("penn", watch)
    corpus_of("penn", watch, tokens="characters")
    assert watch.notes == []
    corpus_of("penn", watch, vocabulary=8)
    assert [level for level, _ in watch.notes] == ["info"]


def test_wikitext_has_an_end_of_line_for_every_empty_line(tmp_path):
    written(tmp_path, "wiki.{}.tokens", WIKI)
    watch = Watch()
    found = corpus_of(f"wikitext2:{tmp_path}", watch)
    assert found.tokens.text(found.train) == (
        "\n= Robert <unk> =\n\nRobert is a player @-@ manager .\n"
    )
    assert "published are 2,088,628, 217,646 and 245,569 tokens" in watch.notes[0][1]


def test_raw_wikitext_is_open_and_said_to_be_another_text(tmp_path):
    written(tmp_path, "wiki.{}.raw", RAW, test=RAW.replace("Boulter", "Marlowe"))
    watch = Watch()
    found = corpus_of(f"wikitext2:{tmp_path}", watch)
    assert "Marlowe" not in found.tokens
    assert watch.notes[0][0] == "warning"
    assert watch.notes[0][1].startswith("wiki.train.raw and the like are the raw WikiText-2")
    assert not any("not as published" in note for _, note in watch.notes)


def test_a_missing_published_text_says_where_it_is_expected(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_TUI_DATA", str(tmp_path))
    what, where, remedy = refused("penn")
    assert what == (
        "penn: there is no ptb.train.txt; it is not downloaded, bring a copy of your own"
    )
    assert str(tmp_path / "penn") in where
    assert "penn:DIR" in remedy
    root = written(tmp_path / "wikitext-2", "wiki.{}.tokens", WIKI)
    (root / "wiki.test.tokens").unlink()
    what, where, remedy = refused("wikitext2")
    assert (what, where) == ("wikitext2: there is no wiki.test.tokens", str(root))
