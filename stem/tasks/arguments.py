"""Check a call against the function's signature, on both sides of the wire."""

from __future__ import annotations

import inspect
import sys
import typing
from typing import TYPE_CHECKING, Any

from stem.errors import ArgumentsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class CallSignature:
    """What a task's function accepts and returns.

    Parameters and results annotated with pydantic models travel as plain
    JSON and arrive as models; other annotations are for type checkers only.

    Args:
        function: The task's function.
        name: The task's name, for errors.
        bound: Whether the first parameter is the task's context, which callers do not pass.
    """

    def __init__(self, function: Callable[..., object], *, name: str, bound: bool) -> None:
        self._name = name
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())
        self._signature = signature.replace(parameters=parameters[1:] if bound else parameters)
        models = _models(function)
        self._result_model = models.pop("return", None)
        self._models = models

    def check(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Check that a call fits.

        Raises:
            ArgumentsError: An argument is missing, unexpected, or no valid model.
        """
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentsError(name=self._name, reason=str(error)) from None
        for parameter, model in self._models.items():
            if parameter in bound.arguments:
                self._validate(model, bound.arguments[parameter], parameter)

    def to_wire(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Check a call and return its arguments with models turned into JSON values.

        Raises:
            ArgumentsError: The call does not fit.
        """
        if not self._models:
            self.check(args, kwargs)
            return args, kwargs
        return self._convert(args, kwargs, dump=True)

    def from_wire(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Check what arrived and return it with JSON values turned into models.

        Raises:
            ArgumentsError: The call does not fit.
        """
        if not self._models:
            self.check(args, kwargs)
            return args, kwargs
        return self._convert(args, kwargs, dump=False)

    def result_to_wire(self, result: object) -> object:
        """Return a result with a pydantic model turned into JSON values."""
        dump = getattr(result, "model_dump", None)
        return dump(mode="json") if dump is not None and "pydantic" in sys.modules else result

    def result_from_wire(self, result: object) -> object:
        """Return a stored result, as a model where the function is annotated to return one."""
        if self._result_model is None or result is None:
            return result
        return self._validate(self._result_model, result, "return")

    def _convert(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], *, dump: bool
    ) -> tuple[Sequence[Any], Mapping[str, Any]]:
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentsError(name=self._name, reason=str(error)) from None
        for parameter, model in self._models.items():
            if parameter in bound.arguments:
                value = self._validate(model, bound.arguments[parameter], parameter)
                bound.arguments[parameter] = model.dump_python(value, mode="json") if dump else value
        return bound.args, bound.kwargs

    def _validate(self, model: Any, value: object, parameter: str) -> object:
        from pydantic import ValidationError

        try:
            return model.validate_python(value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in (parameter, *first["loc"]))
            raise ArgumentsError(name=self._name, reason=f"{where}: {first['msg']}") from None


def _models(function: Callable[..., object]) -> dict[str, Any]:
    # A function can only be annotated with models when pydantic is loaded;
    # asking this way keeps `import stem` from loading it.
    pydantic = sys.modules.get("pydantic")
    if pydantic is None:
        return {}
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError):  # names that exist for type checkers only
        return {}
    return {
        parameter: pydantic.TypeAdapter(hint)
        for parameter, hint in hints.items()
        if _mentions_model(hint, pydantic.BaseModel)
    }


def _mentions_model(hint: object, base: type) -> bool:
    if isinstance(hint, type) and not typing.get_args(hint):
        return issubclass(hint, base)
    return any(_mentions_model(part, base) for part in typing.get_args(hint))
