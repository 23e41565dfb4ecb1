"""What the server is asked before it is used: whether it can be, and what may cost messages."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import NoPermissionError, ResponseError

from stem.adapters.redis.errors import is_cluster
from stem.errors import StoreVersionError

if TYPE_CHECKING:
    from stem.adapters.redis.link import Link

log = logging.getLogger(__name__)

_OLDEST: Final = (6, 2)


def check(link: Link, *, address: str, operation: str) -> None:
    """Refuse a server that cannot be used; warn of settings that lose messages.

    Raises:
        StoreVersionError: The server is older than 6.2.
        StoreError: It is part of a cluster.
    """
    try:
        told = _read(link.run("INFO"))
    except NoPermissionError:
        return  # a server that keeps this to itself is used as it is
    version = told.get("redis_version", "")
    if _numbers(version) < _OLDEST:
        raise StoreVersionError(
            server=address,
            operation=operation,
            reason=f"Redis {version} is too old",
            remedy="use Redis 6.2 or newer, or a compatible server",
        )
    if told.get("redis_mode") == "cluster" or told.get("cluster_enabled") == "1":
        raise is_cluster(address=address, operation=operation)
    _warn(link, told, address)


def _warn(link: Link, told: dict[str, str], address: str) -> None:
    policy = told.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and told.get("maxmemory", "0") != "0":
        log.warning("redis.evicts", extra={"server": address, "reason": f"maxmemory-policy is {policy}"})
    if told.get("aof_enabled") == "0" and not _saves(link):
        log.warning("redis.not_persistent", extra={"server": address, "reason": "neither AOF nor RDB is on"})


def _saves(link: Link) -> bool:
    try:
        reply = link.run("CONFIG", "GET", "save")
    except ResponseError:
        return True  # not known: managed services keep CONFIG to themselves, and do save
    return len(reply) < 2 or bool(reply[1])


def _read(reply: Any) -> dict[str, str]:
    lines = (line.partition(":") for line in bytes(reply).decode(errors="replace").splitlines())
    return {name: value for name, colon, value in lines if colon}


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")[:2]
    # Servers that name no version that can be read are taken for new ones.
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else _OLDEST
