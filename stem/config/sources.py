"""Where settings come from, and which source wins.

From the strongest to the weakest: arguments, the environment, ``stem.toml``, the table
``[tool.stem]`` of ``pyproject.toml``, the default. Files are looked for in the working
directory and then in its parents; the first directory that has settings is the only one read.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from stem.config.settings import DECLARATIONS, OTHER_VARIABLES, Settings
from stem.errors import ConfigurationError
from stem.security.masking import mask_text, mask_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

DEFAULT: Final = "default"
ARGUMENT: Final = "argument"
STEM_TOML: Final = "stem.toml"
PYPROJECT: Final = "pyproject.toml [tool.stem]"

FOREIGN_VARIABLES: Final = re.compile(
    # what tests of Stem itself read, and what the command line does
    r"STEM_TEST_.*|STEM_APP"
    # what Kubernetes tells every container of a namespace about each of its services:
    # one that is called stem, or stem-anything, must not stop a worker
    r"|STEM_(PORT|SERVICE_).*"
    r"|STEM_.+_SERVICE_(HOST|PORT(_.+)?)"
    r"|STEM_.+_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?"
)
"""Environment variables that look like Stem's and are not."""

_SHOWN_CHARACTERS: Final = 100
_BY_VARIABLE: Final = {one.variable: name for name, one in DECLARATIONS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """Settings, and where each value came from.

    Attributes:
        origins: For every setting "default", "argument", the name of its environment
            variable, "stem.toml" or "pyproject.toml [tool.stem]".
    """

    settings: Settings
    origins: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    origin: str
    value: object


def resolve(*, overrides: Mapping[str, object], environ: Mapping[str, str], cwd: Path) -> Resolved:
    """Return the settings that the sources give. Reads files; call it once, at start.

    Args:
        overrides: Keyword arguments, by the setting's name. A value None is a value:
            what it stands for is said by the setting, and most refuse it.
        environ: The process's environment. An empty variable counts as absent.
        cwd: Where to look for ``stem.toml`` and ``pyproject.toml`` first.

    Raises:
        ConfigurationError: Some name is unknown or some value does not fit; every problem at once.
    """
    problems: list[str] = []
    given = {
        **_from_files(cwd, problems),
        **_from_environ(environ, problems),
        **_from_table(ARGUMENT, overrides, problems),
    }
    values: dict[str, Any] = {}
    for name, one in given.items():
        try:
            values[name] = _read(name, one.value)
        except ValueError:
            problems.append(_unfit(one.origin, name, DECLARATIONS[name].expected, one.value))
    settings = Settings(**values)
    origins = {name: given[name].origin if name in given else DEFAULT for name in DECLARATIONS}
    problems.extend(_conflicts(settings, origins, unfit=given.keys() - values.keys()))
    if problems:
        raise ConfigurationError(problems=problems)
    return Resolved(settings=settings, origins=origins)


def _read(name: str, value: object) -> Any:
    declaration = DECLARATIONS[name]
    if declaration.none and (value is None or (isinstance(value, str) and value.strip().lower() == "none")):
        return None
    return declaration.kind.read(value)


def _conflicts(settings: Settings, origins: Mapping[str, str], *, unfit: set[str]) -> Iterator[str]:
    for conflict in settings.conflicts():
        # where one of the two does not fit by itself, that is what is to be said
        if unfit.isdisjoint({conflict.setting, conflict.other}):
            other = DECLARATIONS[conflict.other].write(getattr(settings, conflict.other))
            yield _unfit(
                origins[conflict.setting],
                conflict.setting,
                f"{conflict.expected} ({other}, from {origins[conflict.other]})",
                DECLARATIONS[conflict.setting].write(getattr(settings, conflict.setting)),
            )


def _from_environ(environ: Mapping[str, str], problems: list[str]) -> dict[str, _Given]:
    given: dict[str, _Given] = {}
    for variable, value in sorted(environ.items()):
        name = _BY_VARIABLE.get(variable)
        if name is not None:
            if value.strip():
                given[name] = _Given(origin=variable, value=value.strip())
        elif _is_unknown(variable):
            problems.append(_unknown("environment", variable, [*_BY_VARIABLE, *OTHER_VARIABLES]))
    return given


def _is_unknown(variable: str) -> bool:
    return (
        variable.startswith("STEM_")
        and variable not in OTHER_VARIABLES
        and not FOREIGN_VARIABLES.fullmatch(variable)
    )


def _from_files(cwd: Path, problems: list[str]) -> dict[str, _Given]:
    start = cwd.absolute()
    for directory in (start, *start.parents):
        own = _toml(directory / "stem.toml", problems)
        project = _tool_table(_toml(directory / "pyproject.toml", problems))
        if own is not None or project is not None or problems:  # a broken file may be the one that was meant
            return {
                **_from_table(PYPROJECT, project or {}, problems),
                **_from_table(STEM_TOML, own or {}, problems),
            }
    return {}


def _from_table(origin: str, table: object, problems: list[str]) -> dict[str, _Given]:
    if not isinstance(table, dict):
        problems.append(f"{origin}: expected a table of settings, got a {type(table).__name__}")
        return {}
    given: dict[str, _Given] = {}
    for name, value in cast("Mapping[str, object]", table).items():
        if name in DECLARATIONS:
            given[name] = _Given(origin=origin, value=value)
        else:
            problems.append(_unknown(origin, name, DECLARATIONS))
    return given


def _tool_table(document: dict[str, Any] | None) -> object:
    tool: object = (document or {}).get("tool")
    return cast("dict[str, object]", tool).get("stem") if isinstance(tool, dict) else None


def _toml(path: Path, problems: list[str]) -> dict[str, Any] | None:
    """Return a file's content, None when there is no such file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        # A parent directory that must not be searched may hide a file; the
        # working directory of a service user often lies below one.
        if os.path.lexists(path):
            problems.append(f"{path}: cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        problems.append(f"{path}: not UTF-8")
    except tomllib.TOMLDecodeError as error:
        problems.append(f"{path}: not TOML: {error}")
    return None


def _unknown(where: str, name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f", did you mean {near[0]}?" if near else ""
    return f"{where}: {name}: expected a known setting{hint}"


def _unfit(origin: str, name: str, expected: str, value: object) -> str:
    return f"{origin}: {name}: expected {expected}, got {_shown(value)}"


def _shown(value: object) -> str:
    shown = repr(mask_url(value.strip())) if isinstance(value, str) else repr(value)
    return mask_text(shown)[:_SHOWN_CHARACTERS]
