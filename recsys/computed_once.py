"""A property that is computed when it is first asked for, without a lock."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class computed_once(Generic[T]):  # noqa: N801
    """`functools.cached_property` as it is from Python 3.12 on.

    Before, one lock of all instances is held while a value is computed: threads wait for each
    other, and a process that forks meanwhile waits forever. Threads that ask at the same time may
    each compute the value; they must be equal.

    Examples
    --------
    >>> class Circle:
    ...     @computed_once
    ...     def area(self) -> float:
    ...         print("computing")
    ...         return 3.14
    >>> circle = Circle()
    >>> circle.area + circle.area
    computing
    6.28
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        """Take the name under which an instance keeps the value."""
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "computed_once[T]": ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> "computed_once[T] | T":
        """Compute the value; afterwards Python finds it in the instance before it comes here."""
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._compute(instance)
        return value
