"""The project's first private words are gone: code, documents, help and tests use the field's."""

import functools
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# What each of them is now.
WORDS = {
    r"\bwish(es)?\b|[Ww]ish(es)?_|_wish(es)?\b|\bWish\w*": "command",
    r"\bcrews?\b|\bCrew\b": "ranks",
    r"\bcompany\b": "run_all",
    r"\bconfess\w*": "report_crash",
    r"\bcomplain(s|ed|ing|t|ts)?\b": "print_error",
    r"\btellings\b": "events",
    r"\bHeart\b": "Heartbeat",
    r"\bChance\b(?=\()|\bclass Chance\b|import Chance\b": "StochasticOps",
    r"\bSeen\b": "SourceFeatures, EpochEvidence",
    r"\bwide_operations\b": "fusable",
    r"\bpays\(|\.pays\b|import pays\b": "should_fuse",
    r"\balike\(|\.alike\b|import alike\b": "same_candidates",
    r"\bFACE\b|\bfaces?_|_faces?\b": "view",
    r"(?<![.\w])(say|tell|tells|says)\((?!raw)": "print_out, print_err",
    r"\bdef (say|tell|confess|complain)\w*\(": "print_out, print_err",
    r"\bfacts\b(?! of)|\ba fact\b|\bevery fact\b|\bFact\b": "event",
    r"^(tui|engine|themes)/.*\b(said|told)\b(?= =|\.(out|err|code|stdout|stderr)\b)": "result",
}
SUFFIXES = {".py", ".md", ".toml", ".tcss", ".sh", ".cfg", ""}
APART = ("CHANGELOG.md", "tests/test_words.py", "tests/golden/", "licenses/", "LICENSE")


def sources() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [
        Path(name)
        for name in listed.split("\0")
        if name and Path(name).suffix in SUFFIXES and not name.startswith(APART)
    ]


@functools.cache
def lines() -> list[str]:
    """Every line, behind its file and number."""
    return [
        f"{path}:{number}: {line.strip()}"
        for path in sources()
        if (ROOT / path).is_file()
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1)
    ]


@pytest.mark.parametrize("pattern", WORDS, ids=WORDS.values())
def test_a_private_word_is_gone(pattern: str) -> None:
    word = re.compile(pattern)
    hits = [line for line in lines() if word.search(line)]
    assert not hits, f"use {WORDS[pattern]}:\n" + "\n".join(hits)
