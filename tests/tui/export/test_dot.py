import re

import pytest

from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.architecture.text import from_json, parse, published
from darts_tui.export.dot import THEMES, cell_dot

PUBLISHED = {name: entry.genotype for name, entry in published().items()}
NAME = r'"?([^"\s]+)"?'
EDGE = re.compile(rf"^\t{NAME} -> {NAME} \[(.*)\]$", re.MULTILINE)
NODE = re.compile(rf"^\t+{NAME} \[(.*fillcolor=.*)\]$", re.MULTILINE)


def drawn_edges(dot: str) -> list[tuple[str, str, str]]:
    found = []
    for source, target, attributes in EDGE.findall(dot):
        operation = re.search(r"<TD>(.*?)</TD>", attributes)
        found.append((source, target, operation[1] if operation else ""))
    return found


def test_the_normal_cell_of_darts_is_drawn_as_published() -> None:
    dot = cell_dot(PUBLISHED["DARTS_V2"], "normal")
    assert [name for name, _ in NODE.findall(dot)] == [
        "c_{k-2}", "c_{k-1}", "0", "1", "2", "3", "c_{k}",
    ]  # fmt: skip
    assert drawn_edges(dot) == [
        ("c_{k-2}", "0", "sep_conv_3x3"),
        ("c_{k-1}", "0", "sep_conv_3x3"),
        ("c_{k-2}", "1", "sep_conv_3x3"),
        ("c_{k-1}", "1", "sep_conv_3x3"),
        ("c_{k-1}", "2", "sep_conv_3x3"),
        ("c_{k-2}", "2", "skip_connect"),
        ("c_{k-2}", "3", "skip_connect"),
        ("0", "3", "dil_conv_3x3"),
        ("0", "c_{k}", ""),
        ("1", "c_{k}", ""),
        ("2", "c_{k}", ""),
        ("3", "c_{k}", ""),
    ]
    assert "rankdir=LR" in dot


@pytest.mark.parametrize(
    ("name", "cell"), [(name, cell) for name, found in PUBLISHED.items() for cell in found.cells]
)
def test_every_published_cell_keeps_all_its_edges(name: str, cell: str) -> None:
    genotype = PUBLISHED[name]
    labels = [operation for *_, operation in drawn_edges(cell_dot(genotype, cell)) if operation]
    assert labels == [edge.operation for edge in genotype.edges(cell)]


def test_only_concatenated_states_reach_the_output() -> None:
    edges = drawn_edges(cell_dot(PUBLISHED["AmoebaNet"], "normal"))
    assert [source for source, target, _ in edges if target == "c_{k}"] == ["2", "3", "4"]


def test_an_isolated_node_is_dashed_and_not_concatenated() -> None:
    dot = cell_dot(PUBLISHED["FairDARTS_a"], "normal")
    isolated = [line for line in dot.splitlines() if "dashed" in line]
    assert len(isolated) == 1
    assert isolated[0].startswith("\t1 [")
    assert ("1", "c_{k}", "") not in drawn_edges(dot)


def test_a_doubled_edge_is_drawn_twice() -> None:
    part = ("skip_connect", 0)
    dot = cell_dot(Genotype((part, part), (2,), (part, part), (2,)), "normal")
    assert drawn_edges(dot)[:2] == [("c_{k-2}", "0", "skip_connect")] * 2


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ('x"];node[URL="http://evil"', r"x\"];node[URL=\"http://evil\""),
        ("back\\", r"back\\"),
        (r"\N\G\E", r"\\N\\G\\E"),
        ("&#27;[31m", "&amp;#27;[31m"),
        ("<b>bold</b>", "<b>bold</b>"),
        ("\x1b]0;owned\x07", "\u241b]0;owned\u2407"),
        ("\u202etxt x", "txt x"),
        ("two\nlines", "two lines"),
    ],
)
def test_a_title_stays_a_title(title: str, shown: str) -> None:
    dot = cell_dot(PUBLISHED["DARTS_V2"], "normal", title=title)
    assert f'label="{shown}" labelloc' in dot


@pytest.mark.parametrize("theme", THEMES)
def test_the_background_is_opaque_and_text_stands_out(theme: str) -> None:
    colours = THEMES[theme]
    assert f'bgcolor="{colours.background}"' in cell_dot(
        PUBLISHED["DARTS_V2"], "normal", theme=theme
    )
    for fill in (colours.background, colours.input, colours.node, colours.output):
        assert contrast(colours.text, fill) >= 4.5


def contrast(first: str, second: str) -> float:
    """WCAG 2 contrast ratio of two #rrggbb colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted([luminance(first), luminance(second)])
    return (high + 0.05) / (low + 0.05)


def test_a_cell_of_nasbench201_ends_in_its_last_node_without_what_carries_nothing() -> None:
    genotype = parse("|skip_connect~0|+|none~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|none~2|")
    dot = cell_dot(genotype, "cell")
    assert [name for name, _ in NODE.findall(dot)] == ["c_{in}", "1", "2", "c_{out}"]
    assert drawn_edges(dot) == [
        ("c_{in}", "1", "skip_connect"),
        ("1", "2", "nor_conv_1x1"),
        ("c_{in}", "c_{out}", "avg_pool_3x3"),
    ]


def test_operations_of_nasbench101_stand_in_the_nodes() -> None:
    matrix = [[0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    operations = ["input", "conv3x3-bn-relu", "maxpool3x3", "output"]
    dot = cell_dot(from_json({"matrix": matrix, "ops": operations}), "cell")
    labels = [re.search(r"label=(\S+)", attributes) for _, attributes in NODE.findall(dot)]
    assert [label[1] for label in labels if label][1:3] == ["conv3x3_bn_relu", "maxpool3x3"]
    assert re.findall(rf"^\t{NAME} -> {NAME}$", dot, re.MULTILINE) == [
        ("c_{in}", "1"),
        ("c_{in}", "2"),
        ("1", "2"),
        ("1", "c_{out}"),
        ("2", "c_{out}"),
    ]
