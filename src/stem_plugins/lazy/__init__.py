"""The lazy data path: blocks of whole scan rows, for NumPy, dask and dask.distributed alike."""

from stem_plugins.lazy.blocks import (
    array_of_blocks,
    array_part,
    chunk_by_scan_rows,
    in_order,
    is_lazy,
    map_scan_blocks,
    map_whole,
    numpy_or_dask,
    scan_row_blocks,
    thread_count,
)

__all__ = [
    "array_of_blocks",
    "array_part",
    "chunk_by_scan_rows",
    "in_order",
    "is_lazy",
    "map_scan_blocks",
    "map_whole",
    "numpy_or_dask",
    "scan_row_blocks",
    "thread_count",
]
