"""Four detector rows added to running rows, a strip of some pixels at a time, in registers.

The compiler makes vector instructions of a loop over a whole row by itself, but asks for the
memory ahead only before or after such a loop: many requests at once, which the processor cannot
all take. Here a strip is as wide as a cache line, so each of its rows asks for one line while the
strip is added up; from memory this is half as fast again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, register_jitable

__all__ = ["CACHE_LINE_BYTES", "add_strip", "add_swapped_strip", "strip_width"]

CACHE_LINE_BYTES = 64

#: Of one running row of a strip: with two of them, the largest pixels and what is being added,
#: this is about what the registers of today's processors hold.
REGISTER_BYTES = 128

ROWS = 4


@register_jitable
def strip_width(pixel_bytes: int, sum_bytes: int) -> int:
    """How many pixels a strip is wide, for the bytes of a pixel and of its running sums.

    For those who call `add_strip` and for itself: both must mean the same pixels.
    """
    return min(CACHE_LINE_BYTES // pixel_bytes, REGISTER_BYTES // sum_bytes)


def _swapped(builder: Any, value: Any, pixel: Any, lanes: int) -> Any:
    """Reverse the bytes of every pixel."""
    if pixel.bitwidth == 8:
        return value
    vector = ir.VectorType(ir.IntType(pixel.bitwidth), lanes)
    name = f"llvm.bswap.v{lanes}i{pixel.bitwidth}"
    swap = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector]), name)
    bits = builder.call(swap, [builder.bitcast(value, vector)])
    return builder.bitcast(bits, value.type)


def _widened(builder: Any, value: Any, pixel: Any, wide: Any) -> Any:
    """Turn pixels into the type in which they are summed."""
    if value.type == wide:
        return value
    if isinstance(pixel, types.Float):
        return builder.fpext(value, wide)
    return builder.sext(value, wide) if pixel.signed else builder.zext(value, wide)


def _larger(builder: Any, value: Any, peak: Any, pixel: Any) -> Any:
    if isinstance(pixel, types.Float):
        above = builder.fcmp_ordered(">", value, peak)
    else:
        compare = builder.icmp_signed if pixel.signed else builder.icmp_unsigned
        above = compare(">", value, peak)
    return builder.select(above, value, peak)


def _add(swap: bool) -> Callable[..., Any]:
    """Build ``add_strip(pixels, first, stride_row, x, columns, cumulative, peaks)``.

    Adds the pixels ``first + k * stride_row + x ...`` of the rows k = 0 ... 3 to `columns`, the
    sum of `columns` after each row to `cumulative`, and keeps the largest in `peaks`.
    """

    def strip(
        typing_context: Any,
        pixels: Any,
        first: Any,
        stride_row: Any,
        x: Any,
        columns: Any,
        cumulative: Any,
        peaks: Any,
    ) -> Any:
        pixel = pixels.dtype
        lanes = strip_width(pixel.bitwidth // 8, columns.dtype.bitwidth // 8)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def place(argument: int, index: Any, dtype: Any) -> tuple[Any, Any, int]:
                array = context.make_array(signature.args[argument])
                data = array(context, builder, arguments[argument]).data
                vector = ir.VectorType(context.get_value_type(dtype), lanes)
                return (
                    builder.bitcast(builder.gep(data, [index]), vector.as_pointer()),
                    vector,
                    (dtype.bitwidth // 8),
                )

            def load(argument: int, index: Any, dtype: Any) -> Any:
                pointer, _, alignment = place(argument, index, dtype)
                return builder.load(pointer, align=alignment)

            _, start, stride, column, *_ = arguments
            add = builder.fadd if isinstance(columns.dtype, types.Float) else builder.add
            total = load(4, column, columns.dtype)
            running = load(5, column, columns.dtype)
            peak = load(6, column, pixel)
            index = builder.add(start, column)
            for _ in range(ROWS):
                value = load(0, index, pixel)
                value = _swapped(builder, value, pixel, lanes) if swap else value
                total = add(total, _widened(builder, value, pixel, total.type))
                running = add(running, total)
                peak = _larger(builder, value, peak, pixel)
                index = builder.add(index, stride)
            results = ((4, total, columns.dtype), (5, running, columns.dtype), (6, peak, pixel))
            for argument, result, dtype in results:
                pointer, _, alignment = place(argument, column, dtype)
                builder.store(result, pointer, align=alignment)
            return context.get_dummy_value()

        whole = types.intp
        signature = types.void(pixels, whole, whole, whole, columns, cumulative, peaks)
        return signature, generate

    return strip


add_strip = intrinsic(_add(swap=False))
add_swapped_strip = intrinsic(_add(swap=True))
