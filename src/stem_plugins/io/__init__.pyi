from .merlin import read_merlin
from .merlin_header import (
    MerlinAcquisitionHeader,
    MerlinHeader,
    parse_acquisition_header,
    parse_frame_header,
)
from .merlin_pixels import decode_frames
from .merlin_writer import iter_write_merlin, write_merlin
from .scan import Scan

__all__ = [
    "MerlinAcquisitionHeader",
    "MerlinHeader",
    "Scan",
    "decode_frames",
    "iter_write_merlin",
    "parse_acquisition_header",
    "parse_frame_header",
    "read_merlin",
    "write_merlin",
]
