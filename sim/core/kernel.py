"""The `@kernel` decorator: the one way in which the twin compiles a loop.

It owns the project's Numba options and a compile cache whose key covers a kernel's *transitive*
sources, because Numba's own cache does not notice a change in a function imported from another
file.  It must not know what any kernel computes.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import types
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.core import types as nb
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher
from numba.np import arrayobj

from sim.core import views

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "fastmath": False,
    "_nrt": False,
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
}
"""Numba options of every kernel; they are a part of the cache's key."""

FORMS = ("entry", "inner")
"""The two forms of a kernel: called from Python, called from another kernel."""

DEBUG = os.environ.get("TWIN_DEBUG") == "1"


def _plain_index(context: Any, builder: Any, kind: Any, index: Any, size: Any) -> Any:
    """Take an index as it is: in a kernel none counts from the end.

    Numba lets a negative index of any signed integer count from the end, which puts a comparison
    and a choice in front of every load: about a tenth of the whole loop.  Under `TWIN_DEBUG=1`
    the bounds check finds a negative index.
    """
    return context.cast(builder, index, kind, nb.intp if kind.signed else nb.uintp)


arrayobj.fix_integer_index = _plain_index


def _hash_value(value: Any, digest: Any, seen: set[int]) -> None:
    """Feed one global that a kernel refers to into the digest."""
    if isinstance(value, Dispatcher):
        _hash_function(value.py_func, digest, seen)
    elif isinstance(value, types.FunctionType):
        _hash_function(value, digest, seen)
    elif isinstance(value, np.ndarray):
        digest.update(value.dtype.str.encode() + value.tobytes())
    elif isinstance(value, type) and hasattr(value, "_fields"):
        digest.update(repr(value._fields).encode())
    elif isinstance(value, (int, float, str, bytes, bool, np.generic, tuple)):
        digest.update(repr(value).encode())


def _hash_function(function: Callable[..., Any], digest: Any, seen: set[int]) -> None:
    if id(function) in seen:
        return
    seen.add(id(function))
    # The source holds the decorator too, so that making a helper hot is a change.
    digest.update(inspect.getsource(function).encode())
    code = function.__code__
    for name in sorted(set(code.co_names)):
        if name in function.__globals__:
            value = function.__globals__[name]
            digest.update(name.encode())
            _hash_value(value, digest, seen)
            if isinstance(value, types.ModuleType) and value.__name__.startswith(
                ("sim.", "actors.", "geo.")
            ):
                for attribute in sorted(set(code.co_names)):
                    if hasattr(value, attribute):
                        digest.update(attribute.encode())
                        _hash_value(getattr(value, attribute), digest, seen)
    for cell in function.__closure__ or ():
        _hash_value(cell.cell_contents, digest, seen)


def source_hash(function: Callable[..., Any]) -> str:
    """Return a hash of a function's source and of every kernel and constant that it reaches."""
    digest = hashlib.sha256(repr(sorted(OPTIONS.items())).encode())
    digest.update(inspect.getsource(_plain_index).encode())
    digest.update(views.SOURCE_HASH)
    _hash_function(function, digest, set())
    return digest.hexdigest()


class TransitiveCache(FunctionCache):
    """Numba's on-disk cache with the transitive source hash as a part of its key."""

    def __init__(self, py_func: Callable[..., Any], *, form: str) -> None:
        super().__init__(py_func)
        self._source_hash = source_hash(py_func)
        self._form = form

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), self._source_hash, self._form)


def kernel(function: Callable[..., Any], *, cache: bool = True, inline: bool = False) -> Any:
    """Compile a loop over rows: no threads, no fast-math, no reference counting, cached.

    Reference counting is off (`_nrt=False`): a kernel cannot allocate, and Numba does not put an
    atomic increment for every array on every event, which would cost three times the loop itself.
    Under `TWIN_DEBUG=1` bounds are checked and the cache is left alone.  A kernel that exists only
    inside others (a closure) is compiled with them and needs no cache of its own.

    A kernel has two forms, each compiled when first used: the one that Python calls, and the one
    that other kernels call.  The second has no wrapper that unpacks Python objects, which would
    be the larger part of most helpers.
    """
    options: dict[str, Any] = {**OPTIONS, "boundscheck": DEBUG, "forceinline": inline}
    entry: Any = numba.njit(**options)(function)
    options = {**options, "no_cpython_wrapper": True}
    inner: Any = numba.njit(**options)(function)
    # Kernels that call this one resolve the call through these two, and so meet the inner form.
    entry.get_call_template = inner.get_call_template
    entry.get_overload = inner.get_overload
    if cache and not DEBUG:
        for dispatcher, form in zip((entry, inner), FORMS, strict=True):
            dispatcher._cache = TransitiveCache(function, form=form)
    return entry


def hot(function: Callable[..., Any]) -> Any:
    """Compile a helper of a hot loop into its callers.

    A call hands over every array of every namedtuple by value, some hundred words: on a path that
    every event takes that costs more than the work.  Rare paths stay calls, or compile times
    explode.
    """
    return kernel(function, cache=False, inline=True)


def compiled_for(dispatcher: Any, *arguments: Any) -> Callable[..., Any]:
    """Return the compiled form of a kernel for the types of these arguments, to be called directly.

    A call of a kernel first finds out the type of every array of every namedtuple, about 0.1 us
    for each: half the time of a kernel that runs for microseconds.  Nothing checks the types of
    later calls: pass the same arguments, or others made like them.
    """
    return dispatcher.compile(tuple(dispatcher.typeof_pyval(value) for value in arguments))


class Direct:
    """A kernel as one caller calls it: the types are looked up at the first call alone.

    See `compiled_for` for what that asks of the caller.  What is no kernel is called as it is.
    """

    def __init__(self, dispatcher: Callable[..., Any]) -> None:
        self._dispatcher: Any = dispatcher
        self._call: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        """Call it."""
        call = self._call
        if call is None:
            plain = not isinstance(self._dispatcher, Dispatcher)
            call = self._dispatcher if plain else compiled_for(self._dispatcher, *arguments)
            self._call = call
        return call(*arguments)


def counts_references(dispatcher: Any) -> bool:
    """Return whether any compiled version of a kernel counts references.

    The module that other kernels link is searched: unlike Numba's own inspection it is there for
    kernels out of the cache as well, and holds whatever the kernel calls.
    """
    results = (done._asdict() for done in dispatcher.overloads.values())
    texts = (str(result["library"]._get_module_for_linking()) for result in results)
    return any("NRT_incref" in text or "NRT_decref" in text for text in texts)
