"""Find an application by its path."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, TypeGuard

from stem.app.stores import Stores
from stem.errors import AppNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stem.app.application import Stem


def load(path: str) -> Stem:
    """Return the application that ``path`` names.

    Args:
        path: ``module:attribute``, or ``module`` alone for a module with one application.

    Raises:
        AppNotFoundError: There is no such module or attribute, or it is no application.
    """
    module_name, _, attribute = path.partition(":")
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if module_name == missing or module_name.startswith(f"{missing}."):
            reason = f"no module named {missing!r} here or on the path"
        else:
            reason = f"importing it failed: no module named {missing!r}"
        raise AppNotFoundError(path=path, reason=reason) from error
    except Exception as error:
        raise AppNotFoundError(
            path=path, reason=f"importing it failed: {type(error).__name__}: {error}"
        ) from error
    return _application(path, vars(module), attribute)


def _application(path: str, names: Mapping[str, object], attribute: str) -> Stem:
    if attribute:
        found = names.get(attribute)
        if _is_application(found):
            return found
        reason = "is no Stem application" if attribute in names else "does not exist"
        raise AppNotFoundError(path=path, reason=f"{attribute!r} {reason}; known: {_known(names)}")
    applications = list({id(value): value for value in names.values() if _is_application(value)}.values())
    if len(applications) == 1:
        return applications[0]
    reason = "holds no Stem application" if not applications else f"holds several: {_known(names)}"
    raise AppNotFoundError(path=path, reason=f"the module {reason}; name it as module:attribute")


def _known(names: Mapping[str, object]) -> str:
    return ", ".join(sorted(name for name, value in names.items() if _is_application(value))) or "none"


def _is_application(value: object) -> TypeGuard[Stem]:
    return isinstance(value, Stores)  # there is no other kind
