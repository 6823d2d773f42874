from .blocks import (
    chunk_by_scan_rows,
    is_lazy,
    map_scan_blocks,
    map_whole,
    scan_row_blocks,
    thread_count,
)

__all__ = [
    "chunk_by_scan_rows",
    "is_lazy",
    "map_scan_blocks",
    "map_whole",
    "scan_row_blocks",
    "thread_count",
]
