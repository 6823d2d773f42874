from .formats import read_scan
from .images import save_image
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
from .scan_writer import convert, iter_convert, iter_write_scan, write_scan
from .signal_dictionary import acquisition_from_signal, image_axes, scan_axes, scan_metadata
from .units import is_reciprocal_length, to_angstrom, to_milliradian

__all__ = [
    "MerlinAcquisitionHeader",
    "MerlinHeader",
    "Scan",
    "acquisition_from_signal",
    "convert",
    "decode_frames",
    "image_axes",
    "is_reciprocal_length",
    "iter_convert",
    "iter_write_merlin",
    "iter_write_scan",
    "parse_acquisition_header",
    "parse_frame_header",
    "read_merlin",
    "read_scan",
    "save_image",
    "scan_axes",
    "scan_metadata",
    "to_angstrom",
    "to_milliradian",
    "write_merlin",
    "write_scan",
]
