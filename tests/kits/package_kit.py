"""Packages for tests: their files, and the metadata that an installer would write beside them."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
# A file's name in a line of its own, then its text.
FILE = re.compile(r"^`([\w./]+)`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)

Points = Mapping[str, Mapping[str, str]]


def install(
    site: Path, name: str, files: Mapping[str, str], points: Points, version: str = "1.0"
) -> Path:
    """Put a package into a folder as an installer would; `points` are its entry points by group."""
    for path, text in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text, "utf-8")
    about = site / f"{name.replace('-', '_')}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [
        line
        for group, entries in points.items()
        for line in (f"[{group}]", *(f"{point} = {value}" for point, value in entries.items()))
    ]
    (about / "entry_points.txt").write_text("\n".join(lines))
    return site


def install_page(site: Path) -> dict[str, str]:
    """Install the package of docs/extending.md; its files but pyproject.toml, by path."""
    files: dict[str, str] = {}
    for path, text in FILE.findall(PAGE.read_text("utf-8")):
        files[path] = files.get(path, "") + text
    project = tomllib.loads(files.pop("pyproject.toml"))["project"]
    install(site, project["name"], files, project["entry-points"], project["version"])
    return files
