"""The four codecs of a record batch, over cramjam.

A batch's header is never compressed; its records are, all of them as one block. The framing of each
codec is what Kafka's Java client writes and expects: snappy in Xerial's blocks, lz4 frames with
independent blocks (KIP-57), zstd and gzip as everyone does.

A kilobyte can say that it is a gigabyte. So records are unpacked into a buffer of a size that we
choose, a generous one at first, up to the largest that any batch may fill; never into one that grows
as the data demands.
"""

import struct
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import cramjam

from .errors import InvalidRecord
from .model import Compression

Buffer: TypeAlias = bytes | bytearray | memoryview

_XERIAL_MAGIC: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER: Final = _XERIAL_MAGIC + struct.pack(">ii", 1, 1)
_XERIAL_BLOCK: Final = 32 * 1024
_INT32: Final = struct.Struct(">i")

UNPACKED_BYTES_MAX: Final = 64 * 1024 * 1024
"""The most that the records of a compressed batch may take. Clients limit a batch before they
compress it, to a megabyte by default."""

_USUAL_RATIO: Final = 16
_USUAL_BYTES_MIN: Final = 64 * 1024
_NO_ROOM: Final = "whole buffer"
"""What cramjam's error says when the buffer is too small."""

_GZIP_LEVEL: Final = 6
_ZSTD_LEVEL: Final = 3


def compress(codec: Compression, data: Buffer) -> bytes:
    """Compress the records of one batch."""
    match codec:
        case Compression.NONE:
            return bytes(data)
        case Compression.GZIP:
            return bytes(cramjam.gzip.compress(data, level=_GZIP_LEVEL))
        case Compression.SNAPPY:
            return _snappy_compress(data)
        case Compression.LZ4:
            compressor = cramjam.lz4.Compressor(level=1, content_checksum=False, block_linked=False)
            compressor.compress(bytes(data))
            return bytes(compressor.finish())
        case Compression.ZSTD:
            return bytes(cramjam.zstd.compress(data, level=_ZSTD_LEVEL))


def decompress(codec: Compression, data: Buffer) -> bytes:
    """Return what was compressed.

    Raises:
        InvalidRecord: the data is not of this codec, or unpacks to more than `UNPACKED_BYTES_MAX`.
    """
    try:
        match codec:
            case Compression.NONE:
                return bytes(data)
            case Compression.GZIP:
                return _unpacked(cramjam.gzip.decompress_into, data)
            case Compression.SNAPPY:
                return _snappy_decompress(data)
            case Compression.LZ4:
                return _unpacked(cramjam.lz4.decompress_into, data)
            case Compression.ZSTD:
                return _unpacked(cramjam.zstd.decompress_into, data)
    except (cramjam.DecompressionError, struct.error) as error:
        raise InvalidRecord(
            f"records are not valid {codec.name.lower()}, or take more than {UNPACKED_BYTES_MAX} "
            f"bytes: {error}"
        ) from error


def _unpacked(decompress_into: Callable[[Buffer, bytearray], Any], data: Buffer) -> bytes:
    size = max(len(data) * _USUAL_RATIO, _USUAL_BYTES_MIN)
    while True:
        size = min(size, UNPACKED_BYTES_MAX)
        result = bytearray(size)
        try:
            count = decompress_into(data, result)
        except cramjam.DecompressionError as error:
            if size == UNPACKED_BYTES_MAX or _NO_ROOM not in str(error):
                raise
            size *= _USUAL_RATIO
        else:
            return bytes(memoryview(result)[:count])


def _snappy_compress(data: Buffer) -> bytes:
    view = memoryview(data)
    parts = [_XERIAL_HEADER]
    for start in range(0, len(view), _XERIAL_BLOCK):
        block = bytes(cramjam.snappy.compress_raw(view[start : start + _XERIAL_BLOCK]))
        parts.append(_INT32.pack(len(block)))
        parts.append(block)
    return b"".join(parts)


def _snappy_decompress(data: Buffer) -> bytes:
    view = memoryview(data)
    if bytes(view[:8]) != _XERIAL_MAGIC:  # librdkafka and Go clients write one bare block
        _check_room(view, 0)
        return bytes(cramjam.snappy.decompress_raw(view))
    parts: list[bytes] = []
    position = len(_XERIAL_HEADER)
    unpacked = 0
    while position < len(view):
        (size,) = _INT32.unpack_from(view, position)
        position += _INT32.size
        if not 0 <= size <= len(view) - position:
            raise struct.error(f"a block of {size} bytes at {position} of {len(view)}")
        block = view[position : position + size]
        unpacked = _check_room(block, unpacked)
        parts.append(bytes(cramjam.snappy.decompress_raw(block)))
        position += size
    return b"".join(parts)


def _check_room(block: memoryview, unpacked: int) -> int:
    """Return how much is unpacked with this block too, which says so in its first bytes."""
    unpacked += cramjam.snappy.decompress_raw_len(block)
    if unpacked > UNPACKED_BYTES_MAX:
        raise InvalidRecord(
            f"records say that they unpack to {unpacked} bytes, but {UNPACKED_BYTES_MAX} is the most"
        )
    return unpacked
