"""The kinds of values that settings take: what fits, and how a value is written.

Pydantic reads the values. It takes a tenth of a second to import, so each kind
asks for it only when a value has to be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

from stem.config.durations import read_duration, write_duration
from stem.ids import is_queue_name

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST: Final = timedelta(days=3650)
"""No duration is longer, so that now plus a duration is always a date."""

LARGEST: Final = 2**31 - 2
"""No whole number is larger: what counts attempts and deliveries has 31 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of value.

    Attributes:
        name: For the reference, "duration".
        expected: Completes the sentence "expected …".
        schema: Returns the type that pydantic is to read a value as; imports pydantic.
        write: Returns a value as it is written in the environment.
    """

    name: str
    expected: str
    schema: Callable[[], Any]
    write: Callable[[Any], str] = str

    def read(self, value: object) -> Any:
        """Return ``value`` as what the settings hold.

        Raises:
            ValueError: It does not fit.
        """
        from pydantic import TypeAdapter

        return TypeAdapter(self.schema()).validate_python(value)


def duration(*, zero: bool = False) -> Kind:
    """Return the kind of durations; ``zero`` says whether 0 fits."""

    def schema() -> Any:
        from pydantic import BeforeValidator, Field

        bound = Field(ge=timedelta(0), le=LONGEST) if zero else Field(gt=timedelta(0), le=LONGEST)
        return Annotated[timedelta, bound, BeforeValidator(read_duration)]

    least = "at least 0" if zero else "more than 0"
    return Kind(
        name="duration",
        expected=f"a duration of {least} and at most {LONGEST.days}d, such as 500ms, 10s or 1h30m",
        schema=schema,
        write=write_duration,
    )


def whole(*, at_least: int) -> Kind:
    """Return the kind of whole numbers from ``at_least`` on."""

    def schema() -> Any:
        from pydantic import BeforeValidator, Field

        return Annotated[int, Field(ge=at_least, le=LARGEST), BeforeValidator(_no_flag)]

    return Kind(name="whole number", expected=f"a whole number from {at_least} to {LARGEST}", schema=schema)


def choice(*options: str) -> Kind:
    """Return the kind of a word out of ``options``, which are in lower case."""

    def listed(value: str) -> str:
        if value not in options:
            raise ValueError("not one of the options")
        return value

    def schema() -> Any:
        from pydantic import AfterValidator, StringConstraints

        return Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True), AfterValidator(listed)]

    return Kind(name=" | ".join(options), expected=f"one of {', '.join(options)}", schema=schema)


def _flag() -> Any:
    return bool


def _names() -> Any:
    from pydantic import BeforeValidator

    return Annotated[tuple[str, ...], BeforeValidator(_split)]


def _url() -> Any:
    from pydantic import StringConstraints

    return Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z][A-Za-z0-9+.-]*://")]


def _queue() -> Any:
    from pydantic import AfterValidator

    return Annotated[str, AfterValidator(_queue_name)]


def _namespace() -> Any:
    from pydantic import StringConstraints

    return Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,29}$")]


def _no_flag(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a flag is no number")
    return value


def _split(value: object) -> object:
    return [name for part in value.split(",") if (name := part.strip())] if isinstance(value, str) else value


def _queue_name(value: str) -> str:
    if not is_queue_name(value):
        raise ValueError("no queue name")
    return value


FLAG: Final = Kind(
    name="true | false", expected="true or false", schema=_flag, write=lambda flag: str(flag).lower()
)
NAMES: Final = Kind(name="list", expected="names separated by commas", schema=_names, write=",".join)
URL: Final = Kind(name="URL", expected="a URL such as redis://localhost:6379/0", schema=_url)
QUEUE: Final = Kind(name="queue name", expected="1 to 200 of letters, digits and . _ : @ / -", schema=_queue)
NAMESPACE: Final = Kind(
    name="name", expected="1 to 30 of lower-case letters, digits and _, a letter first", schema=_namespace
)
