"""Views: how a namedtuple of arrays enters a kernel, as one pointer instead of hundreds of words.

Numba hands a namedtuple over by value: ninety arrays are six hundred words in every signature,
copied at every call, and compile times explode.  Here a namedtuple that comes from Python is laid
out once in the caller's frame, and every function inside takes its address; reading `view.field`
loads from there.  It owns the type, its layout and its crossing from Python; it must not know
any field.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from numba import types
from numba.core import cgutils
from numba.core.cgutils import ir
from numba.core.datamodel.models import PrimitiveModel
from numba.core.datamodel.registry import register_default
from numba.core.imputils import lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.core.typing.typeof import Purpose, typeof_impl
from numba.extending import NativeValue, unbox

SOURCE_HASH = hashlib.sha256(Path(__file__).read_bytes()).digest()
"""A part of every compile cache's key: compiled code depends on the layout made here."""


class ViewType(types.Type):
    """A namedtuple behind a pointer; equal where the class name, fields and types are equal."""

    def __init__(self, fields: tuple[str, ...], members: tuple[Any, ...], name: str) -> None:
        self.fields = fields
        self.members = members
        text = repr([(f, str(t)) for f, t in zip(fields, members, strict=True)])
        code = hashlib.sha256(text.encode()).hexdigest()[:12]
        # A short name keeps keys, hashes and mangled symbols short, hence compiling fast.
        super().__init__(f"View_{name}_{code}")


@register_default(ViewType)
class ViewModel(PrimitiveModel):
    """A view is one untyped pointer wherever it goes."""

    def __init__(self, manager: Any, view: ViewType) -> None:
        super().__init__(manager, view, cgutils.voidptr_t)


_typeof_tuple = typeof_impl.dispatch(tuple)


@typeof_impl.register(tuple)
def _typeof_view(value: Any, context: Any) -> Any:
    """Type a namedtuple argument as a view; leave plain tuples and constants to Numba."""
    if context.purpose is not Purpose.argument or not hasattr(value, "_fields"):
        return _typeof_tuple(value, context)
    members = tuple(typeof_impl(item, context) for item in value)
    return ViewType(value._fields, members, type(value).__name__)


@infer_getattr
class ViewAttributes(AttributeTemplate):
    """The type of `view.field`."""

    key = ViewType

    def generic_resolve(self, view: ViewType, name: str) -> Any:
        """Return the type of a field, or None where there is no such field."""
        return view.members[view.fields.index(name)] if name in view.fields else None


def _layout(context: Any, view: ViewType) -> ir.LiteralStructType:
    """Return the memory layout: the members one after another, arrays as Numba's own struct."""
    return ir.LiteralStructType([context.get_data_type(t) for t in view.members])


@lower_getattr_generic(ViewType)
def _load_field(context: Any, builder: Any, view: ViewType, value: Any, name: str) -> Any:
    """Load a field; loads are marked invariant, so that they leave loops and are not repeated."""
    index = view.fields.index(name)
    member = view.members[index]
    base = builder.bitcast(value, _layout(context, view).as_pointer())
    if not isinstance(member, types.Array):
        word = _load(builder, base, index)
        return context.data_model_manager[member].from_data(builder, word)
    model = context.data_model_manager[member]
    array = ir.Constant(model.get_value_type(), None)
    size = ir.Constant(cgutils.intp_t, context.get_abi_sizeof(context.get_data_type(member.dtype)))

    def put(part: str, word: Any, *at: int) -> None:
        nonlocal array
        array = builder.insert_value(array, word, (model.get_field_position(part), *at))

    def get(part: str, *at: int) -> Any:
        return _load(builder, base, index, model.get_field_position(part), *at)

    put("nitems", get("nitems"))
    put("itemsize", size)
    put("data", get("data"))
    for axis in range(member.ndim):
        put("shape", get("shape", axis), axis)
        # The last stride of a contiguous array is known, which spares a multiplication.
        known = member.layout == "C" and axis == member.ndim - 1
        put("strides", size if known else get("strides", axis), axis)
    return array


def _load(builder: Any, base: Any, *path: int) -> Any:
    """Load one word of the layout and mark it as never changing."""
    word = builder.load(cgutils.gep_inbounds(builder, base, 0, *path))
    word.set_metadata("invariant.load", builder.module.add_metadata([]))
    return word


@unbox(ViewType)
def _unbox_view(view: ViewType, value: Any, c: Any) -> NativeValue:
    """Lay a namedtuple out in the frame of the wrapper that Python calls."""
    place = cgutils.alloca_once(c.builder, _layout(c.context, view))
    failed = cgutils.false_bit
    for index, member in enumerate(view.members):
        item = c.pyapi.tuple_getitem(value, index)
        slot = cgutils.gep_inbounds(c.builder, place, 0, index)
        if isinstance(member, types.Array):
            code = c.pyapi.numba_array_adaptor(item, c.builder.bitcast(slot, cgutils.voidptr_t))
            failed = c.builder.or_(failed, cgutils.is_not_null(c.builder, code))
        else:
            native = c.unbox(member, item)
            word = c.context.data_model_manager[member].as_data(c.builder, native.value)
            c.builder.store(word, slot)
            failed = c.builder.or_(failed, native.is_error)
    with c.builder.if_then(failed, likely=False):
        c.pyapi.err_set_string("PyExc_TypeError", f"cannot lay out the arrays of {view.name}")
    # Invariant loads may not be moved before the stores above: hide where the pointer comes from.
    opaque = ir.InlineAsm(
        ir.FunctionType(cgutils.voidptr_t, [cgutils.voidptr_t]),
        "",
        "=r,0,~{memory}",
        side_effect=True,
    )
    address = c.builder.call(opaque, [c.builder.bitcast(place, cgutils.voidptr_t)])
    return NativeValue(address, is_error=failed)
