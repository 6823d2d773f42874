"""From the bytes of Merlin frames to detector pixels.

Processed frames (``U08``, ``U16``, ``U32``) are big-endian and are never copied: the result is a
view into the bytes, which may be a memory map of a file or a message from the detector. Raw
frames (``R64``) hold the counters as the chips shift them out, in 64-bit words whose order of
pixels is reversed, and are decoded into new arrays.

Row 0 of a frame is row 0 of the file, as in LiberTEM; RosettaSciIO turns rows upside down.
"""

from __future__ import annotations

import numpy as np

from stem_plugins.io.merlin_header import CHIP_SIZE, MerlinHeader

__all__ = ["decode_frames", "decode_raw_frames", "view_frames"]


def decode_frames(frames: np.ndarray | bytes | memoryview, header: MerlinHeader) -> np.ndarray:
    """Decode whole frames, each an ``MQ1`` header followed by its pixels.

    Parameters
    ----------
    frames
        The bytes of n frames, one after the other; as an array, ``uint8`` and contiguous.
    header
        The header of one of them; all must have the same size.

    Returns
    -------
    numpy.ndarray
        Counts, (n, ky, kx): a big-endian view into ``frames``, or a new native array if they are
        raw.

    Raises
    ------
    ValueError
        The length is no multiple of the frame's length.
    """
    buffer = np.frombuffer(frames, np.uint8)
    count, rest = divmod(buffer.size, header.frame_bytes)
    if rest:
        raise ValueError(
            f"{buffer.size} bytes are not a whole number of frames of {header.frame_bytes} bytes."
        )
    if not header.is_raw:
        return view_frames(buffer, header, (count,), (header.frame_bytes,))
    return decode_raw_frames(buffer.reshape(count, -1)[:, header.header_bytes :], header)


def view_frames(
    buffer: np.ndarray,
    header: MerlinHeader,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
) -> np.ndarray:
    """View processed frames in a buffer as an array, without copying.

    Parameters
    ----------
    buffer
        Bytes that start with a frame's header.
    header
        Header of the frames.
    shape
        How many frames along each axis, for example (rows, columns) of a scan.
    strides
        Bytes from frame to frame along each of these axes.

    Returns
    -------
    numpy.ndarray
        Big-endian counts, ``(*shape, ky, kx)``; read-only if the buffer is.
    """
    columns = header.detector_shape[1]
    return np.ndarray(
        (*shape, *header.detector_shape),
        header.dtype,
        buffer,
        offset=header.header_bytes,
        strides=(*strides, columns * header.dtype.itemsize, header.dtype.itemsize),
    )


def decode_raw_frames(payload: np.ndarray, header: MerlinHeader) -> np.ndarray:
    """Decode raw (``R64``) pixels.

    Parameters
    ----------
    payload
        Bytes of the pixels without headers, (n, payload_bytes).
    header
        Header of the frames.

    Returns
    -------
    numpy.ndarray
        Counts, (n, ky, kx), native byte order. Four chips are put together as the square that
        the detector is.

    Notes
    -----
    In each 64-bit word the pixels run backwards: 64 pixels of 1 bit (so the bytes are reversed
    and each is read from its lowest bit), 8 of 6 bit (one byte each), 4 of 12 bit (big-endian, two
    bytes each). 24-bit frames are two frames of 12 bit, the higher bits first.
    """
    count = len(payload)
    row = header.chips * CHIP_SIZE
    if header.counter_depth == 24:
        planes = _reverse_words(payload, ">u2").reshape(count, 2, header.height, row)
        pixels = (planes[:, 0].astype(np.uint32) << np.uint32(12)) | planes[:, 1]
    elif header.counter_depth == 1:
        flat = np.unpackbits(_reverse_words(payload, "u1"), axis=-1, bitorder="little")
        pixels = flat.reshape(count, header.height, row)
    else:
        flat = _reverse_words(payload, "u1" if header.counter_depth == 6 else ">u2")
        pixels = flat.reshape(count, header.height, row)
    if header.is_quad:
        pixels = _assemble_quad(pixels)
    return pixels.astype(header.dtype, order="C", copy=False)


def _reverse_words(payload: np.ndarray, dtype: str) -> np.ndarray:
    """Reverse the order of the elements in each 64-bit word."""
    per_word = 8 // np.dtype(dtype).itemsize
    words = np.ascontiguousarray(payload).view(dtype).reshape(len(payload), -1, per_word)
    return words[..., ::-1].reshape(len(payload), -1)


def _assemble_quad(rows: np.ndarray) -> np.ndarray:
    """Arrange four chips side by side, (n, height, 1024), as a square, (n, 2 height, 512).

    Chips 2 and 3 are the upper right and upper left quarter; chips 0 and 1 stand on their heads
    in the lower right and lower left one.
    """
    count, height, _ = rows.shape
    chips = rows.reshape(count, height, 4, CHIP_SIZE)
    square = np.empty((count, 2 * height, 2 * CHIP_SIZE), rows.dtype)
    square[:, :height, CHIP_SIZE:] = chips[:, :, 2]
    square[:, :height, :CHIP_SIZE] = chips[:, :, 3]
    square[:, height:, CHIP_SIZE:] = chips[:, ::-1, 0, ::-1]
    square[:, height:, :CHIP_SIZE] = chips[:, ::-1, 1, ::-1]
    return square
