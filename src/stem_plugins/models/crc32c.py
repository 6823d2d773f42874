"""CRC-32C (Castagnoli), the checksum in TensorFlow's files, over whole arrays at once.

The checksum is linear over bits, so a message is cut into lanes of equal length which advance
together, four bytes at a step, and whose remainders are then merged in pairs. Plain NumPy.
"""

from __future__ import annotations

from functools import cache

import numpy as np

__all__ = ["crc32c"]

_POLYNOMIAL = 0x82F63B78  # bits reversed
_STEPS = 64  # of four bytes, in each lane


def crc32c(message: bytes | memoryview | np.ndarray) -> int:
    """Return the CRC-32C of a message.

    Parameters
    ----------
    message
        Bytes, or an array of which the bytes count.

    Returns
    -------
    int
        Checksum of 32 bits (RFC 3720, appendix B.4).

    Examples
    --------
    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    data = np.frombuffer(message, np.uint8)
    if data.size < 4:
        return _crc32c_by_bit(data)
    lanes = 1 << (max(0, data.size - 1) // (4 * _STEPS)).bit_length()
    # Zeros in front change nothing where the register starts from zero; starting from ones, as
    # the standard does, is the same as inverting the first four bytes.
    padded = np.zeros(lanes * 4 * _STEPS, np.uint8)
    start = padded.size - data.size
    padded[start:] = data
    padded[start : start + 4] ^= 0xFF
    words = np.ascontiguousarray(padded.view("<u4").reshape(lanes, _STEPS).T)
    register = np.zeros(lanes, np.uint32)
    for word in words:
        register = _advance(register ^ word, 0)
    level = _STEPS.bit_length() - 1
    while register.size > 1:
        register = _advance(register[0::2], level) ^ register[1::2]
        level += 1
    return int(register[0]) ^ 0xFFFFFFFF


def _crc32c_by_bit(data: np.ndarray) -> int:
    register = 0xFFFFFFFF
    for byte in data.tolist():
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (_POLYNOMIAL if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def _advance(registers: np.ndarray, level: int) -> np.ndarray:
    """Feed ``2**level`` words of zeros into registers."""
    low, high = _tables(level)
    advanced: np.ndarray = low[registers & 0xFFFF] ^ high[registers >> 16]
    return advanced


@cache
def _tables(level: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what becomes of all lower and of all upper halves of a register."""
    halves = np.arange(1 << 16, dtype=np.uint32)
    images = _images(level)
    return _apply(images, halves), _apply(images, halves << 16)


@cache
def _images(level: int) -> np.ndarray:
    """Return what becomes of the 32 single bits."""
    if level:
        return _apply(_images(level - 1), _images(level - 1))
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    for _ in range(32):
        bits = np.where(bits & np.uint32(1), bits >> 1 ^ np.uint32(_POLYNOMIAL), bits >> 1)
    return bits


def _apply(images: np.ndarray, registers: np.ndarray) -> np.ndarray:
    result = np.zeros_like(registers)
    for bit, image in enumerate(images):
        result ^= np.where(registers >> np.uint32(bit) & np.uint32(1), image, np.uint32(0))
    return result
