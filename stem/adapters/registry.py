"""Find the adapter for a URL's scheme, by entry points."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from stem.errors import ConfigurationError, UnknownAdapterError

if TYPE_CHECKING:
    from stem.clock import Clock
    from stem.ports.stack import OpenStack, Stack

GROUP = "stem.adapters"


def open_stack(url: str, *, setting: str, namespace: str, clock: Clock) -> Stack:
    """Return the stack behind ``url``; it connects on first use.

    Args:
        setting: Where the URL comes from, for errors.

    Raises:
        UnknownAdapterError: No adapter is registered for its scheme.
        ConfigurationError: The URL cannot be used.
    """
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise ConfigurationError(
            problems=[f"{setting}: expected a URL such as sqlite:///stem.db, got {scheme[:20]!r}"]
        )
    known = _factories()
    if scheme not in known:
        raise UnknownAdapterError(scheme=scheme, known=sorted(known), setting=setting)
    return known[scheme](url, namespace=namespace, clock=clock)


@cache
def _factories() -> dict[str, OpenStack]:
    return {point.name: _lazy(point.name) for point in entry_points(group=GROUP)}


def _lazy(scheme: str) -> OpenStack:
    def open_named(url: str, *, namespace: str, clock: Clock) -> Stack:
        # Loaded only when used: a driver costs hundreds of milliseconds.
        (point,) = entry_points(group=GROUP, name=scheme)
        return cast("OpenStack", point.load())(url, namespace=namespace, clock=clock)

    return open_named
