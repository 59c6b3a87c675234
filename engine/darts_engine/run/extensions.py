"""What installed packages add: entry points, read when first needed and imported when used.

A package names what it adds in its own metadata, in a group of `GROUPS`; `docs/extending.md` shows
each. Only packages that are installed count: metadata in the current directory does not, and a run
folder holds names, never code. Reading the entry points of all packages takes tens of
milliseconds: only a name that is not built in, a list, a dashboard and a run's start need it.
"""

import functools
import importlib
import os
import re
import sys
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from typing import Any, NamedTuple

from darts_engine.run.errors import ExtensionError, RunError

# Group of entry points -> the word for one of them in messages.
GROUPS = {
    "darts_tui.relaxations": "relaxation",
    "darts_tui.regularisers": "regulariser",
    "darts_tui.perturbations": "perturbation",
    "darts_tui.spaces": "search space",
    "darts_tui.data": "data set",
    "darts_tui.texts": "text",
    "darts_tui.panels": "panel",
    "darts_tui.themes": "theme",
}
RELAXATIONS, REGULARISERS, PERTURBATIONS, SPACES, DATA, TEXTS, PANELS, THEMES = GROUPS
# They load no torch and no numpy into the process of the dashboard.
LIGHT = (SPACES, PANELS, THEMES)
HEAVY = ("torch", "torchvision", "numpy")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


class Extension(NamedTuple):
    """One entry point: `target` is "module:object", `package` the distribution's name."""

    group: str
    name: str
    target: str
    package: str
    version: str

    @property
    def kind(self) -> str:
        """The word for what it adds."""
        return GROUPS[self.group]

    @property
    def origin(self) -> str:
        """The package and its version."""
        return f"{self.package} {self.version}"

    def load(self) -> Any:
        """Import the object.

        Raises:
            ExtensionError: the import fails, or imports torch where the dashboard would get it too.
        """
        return self._take(_object)

    def read(self) -> bytes:
        """The bytes of a file of the package, where `target` is "package:file".

        Raises:
            ExtensionError: there is no such package or file, or as `load`.
        """
        data: bytes = self._take(_bytes)
        return data

    def call(self, what: Callable[..., Any], *arguments: Any) -> Any:
        """Call something of the package.

        Raises:
            RunError: as the package raised it.
            ExtensionError: it is not callable, or it raised anything else; its line is named.
        """
        if not callable(what):
            raise self.refused("cannot be called", f"mend or uninstall {self.package}")
        try:
            return what(*arguments)
        except RunError:
            raise
        # A package that calls sys.exit must not end the dashboard or the engine without a word.
        except (Exception, SystemExit) as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise self.refused(
                f"fails: {_first_line(error)} ({place.filename}:{place.lineno})",
                f"mend or uninstall {self.package}",
            ) from error

    def _take(self, how: Callable[[str, str], Any]) -> Any:
        module, _, rest = self.target.partition(":")
        guarded = HEAVY if self.group in LIGHT else ()
        try:
            with _halting(guarded):
                found = how(module, rest)
        # A package's code may raise anything, and may call sys.exit.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            if isinstance(error, ImportError) and error.name in guarded:
                raise self.refused(
                    f"imports {error.name}", "import it in the function that needs it, not above"
                ) from None
            raise self.refused(
                f"cannot be imported: {_first_line(error)}",
                f"mend or uninstall {self.package}; python -c 'import {module}' shows all of it",
            ) from None
        _in_use[self.package] = self.version
        return found

    def refused(self, why: str, remedy: str) -> ExtensionError:
        """The error that names it: `why` follows its name."""
        return ExtensionError(
            f"the {self.kind} {self.name!r} {why}",
            where=f"{self.name} = {self.target}, of the package {self.origin}",
            remedy=remedy,
        )


# Packages that something was loaded from, and their versions.
_in_use: dict[str, str] = {}


def in_use() -> dict[str, str]:
    """Versions of the packages that something was loaded from, by name."""
    return dict(_in_use)


def find(group: str, name: str, built_in: Collection[str] = ()) -> Extension | None:
    """The extension of that name; None where no installed package has it.

    Raises:
        ExtensionError: it has the name of a built-in one, or two packages have it.
    """
    found = [extension for extension in _installed() if extension[:2] == (group, name)]
    if why := _clash(found, built_in):
        raise why
    return found[0] if found else None


def names(group: str, built_in: Collection[str] = ()) -> list[str]:
    """The names that installed packages add; those that are refused are not among them."""
    return [name for name, why in _all(group, built_in).items() if why is None]


def refused(group: str, built_in: Collection[str] = ()) -> list[ExtensionError]:
    """Why some names of a group cannot be used; nothing is imported to find out."""
    return [why for why in _all(group, built_in).values() if why is not None]


def _all(group: str, built_in: Collection[str]) -> dict[str, ExtensionError | None]:
    found: dict[str, list[Extension]] = {}
    for extension in sorted(_installed()):
        if extension.group == group:
            found.setdefault(extension.name, []).append(extension)
    return {name: _clash(extensions, built_in) for name, extensions in found.items()}


def _clash(found: list[Extension], built_in: Collection[str]) -> ExtensionError | None:
    if not found:
        return None
    first = found[0]
    if first.name in built_in:
        return first.refused(
            "is built in, and a package adds one of the same name",
            f"uninstall {first.package}, or give its {first.kind} another name",
        )
    if len(found) > 1:
        return first.refused(
            f"is also added by the package {found[1].origin}", "uninstall one of the two"
        )
    if not _NAME.fullmatch(first.name):
        return first.refused("has an impossible name", "a name is 1 to 32 of a-z 0-9 -")
    return None


def _installed() -> tuple[Extension, ...]:
    try:
        here = os.path.realpath(os.curdir)
    except OSError:
        here = ""
    # `python -m` puts the current directory into the path.
    return _read(tuple(p for p in sys.path if p and os.path.realpath(p) != here))


@functools.cache
def _read(paths: tuple[str, ...]) -> tuple[Extension, ...]:
    # Its import takes longer than that of all the rest here.
    from importlib import metadata

    found: dict[str, list[Extension]] = {}
    for package in metadata.distributions(path=list(paths)):
        # Metadata that cannot be read belongs to a package that is broken for everyone.
        with suppress(OSError, ValueError, AttributeError, TypeError, KeyError):
            points = [point for point in package.entry_points if point.group in GROUPS]
            name = package.name if points else ""
            # The first of several of one name is the one that Python imports.
            if name and name not in found:
                found[name] = [
                    Extension(point.group, point.name, point.value, name, package.version or "")
                    for point in points
                ]
    return tuple(extension for extensions in found.values() for extension in extensions)


def _first_line(error: BaseException) -> str:
    first = (str(error).splitlines() or [""])[0][:200]
    return f"{type(error).__name__}: {first}"


def _object(module: str, path: str) -> Any:
    found: Any = importlib.import_module(module)
    for name in path.split(".") if path else ():
        found = getattr(found, name)
    return found


def _bytes(package: str, file: str) -> bytes:
    return resources.files(package).joinpath(file).read_bytes()


@contextmanager
def _halting(modules: Collection[str]) -> Iterator[None]:
    """Make the import of modules fail, except those that are imported already."""
    halted = [name for name in modules if name not in sys.modules]
    for name in halted:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in halted:
            sys.modules.pop(name, None)
