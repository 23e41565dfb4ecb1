"""A function with a name, options, and ways to call it elsewhere."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, Unpack, cast

from stem.errors import ConfigurationError
from stem.tasks.arguments import CallSignature
from stem.tasks.context import local_context, running
from stem.tasks.handle import Handle

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from stem.tasks.handle import TaskStores
    from stem.tasks.options import CallOptions, Definition
    from stem.tasks.publish import Publisher

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class TaskHost(Protocol):
    """What a task needs from its application; opened on first use."""

    @property
    def publisher(self) -> Publisher:
        """Publishes the calls."""
        ...

    @property
    def stores(self) -> TaskStores:
        """Where handles look."""
        ...


class Task(Generic[P, R]):
    """A registered function. Made by ``@app.task``.

    Args:
        function: What runs; with the context as its first parameter when ``bound``.
        definition: Its checked options.
        bound: Whether the function takes the context.
        host: The application.
    """

    def __init__(
        self, function: Callable[..., Any], definition: Definition, *, bound: bool, host: TaskHost
    ) -> None:
        self.function = function
        self.definition = definition
        self.bound = bound
        self._host = host
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.__name__ = function.__name__
        self.__wrapped__ = function

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    @property
    def name(self) -> str:
        """The registered name."""
        return self.definition.name

    @property
    def queue(self) -> str | None:
        """Where calls go; None for the application's default queue."""
        return self.definition.queue

    @functools.cached_property
    def signature(self) -> CallSignature:
        """What the function accepts."""
        return CallSignature(self.function, name=self.name, bound=self.bound)

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """Publish a call and return its handle.

        Raises:
            ArgumentsError: The arguments do not fit the signature.
            NotEncodableError: An argument has no JSON form.
            StoreError: The task is not published, or that is not known.
        """
        return self._publish(args, kwargs, {})

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """Publish a call like `delay`, without blocking the event loop."""
        import asyncio  # costs 40 ms, which no other call needs

        return await asyncio.to_thread(self._publish, args, kwargs, {})

    def apply_async(
        self,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> Handle[R]:
        """Publish a call with options and return its handle.

        Args:
            args: Positional arguments of the task.
            kwargs: Keyword arguments of the task.
            options: See `stem.tasks.options.CallOptions`.

        Raises:
            ConfigurationError: Options that cannot be used, all at once.
            ArgumentsError: The arguments do not fit the signature.
            NotEncodableError: An argument has no JSON form.
            StoreError: The task is not published, or that is not known.
        """
        return self._publish(args, kwargs or {}, options)

    def AsyncResult(self, task_id: str) -> Handle[R]:
        """Return the handle of the call with this id; nothing is looked up."""
        return Handle(
            task_id, stores=self._host.stores, convert=lambda value: self.signature.result_from_wire(value)
        )

    def _publish(self, args: Sequence[Any], kwargs: Mapping[str, Any], options: CallOptions) -> Handle[R]:
        wire_args, wire_kwargs = self.signature.to_wire(args, kwargs)
        task_id = self._host.publisher.publish(self.definition, wire_args, wire_kwargs, options)
        return self.AsyncResult(task_id)

    def _call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if not self.bound:
            return self.function(*args, **kwargs)
        context = local_context(self.name)
        with running(context):
            return self.function(context, *args, **kwargs)


class SyncTask(Task[P, R]):
    """A task whose function is called."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now."""
        return cast("R", self._call(args, kwargs))


class AsyncTask(Task[P, R]):
    """A task whose function is a coroutine function."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Return a coroutine that runs the function here."""
        return cast("Coroutine[Any, Any, R]", self._call(args, kwargs))


def is_async(function: Callable[..., object]) -> bool:
    """Return whether calling ``function`` gives a coroutine.

    Raises:
        ConfigurationError: It is a generator, which no worker can run.
    """
    import inspect

    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(
            problems=[f"task {function.__qualname__}: a generator cannot be a task; return a list instead"]
        )
    return inspect.iscoroutinefunction(function)
