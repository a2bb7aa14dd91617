"""The four codecs of a record batch, over cramjam.

A batch's header is never compressed; its records are, all of them as one block. The framing of each
codec is what Kafka's Java client writes and expects: snappy in Xerial's blocks, lz4 frames with
independent blocks (KIP-57), zstd and gzip as everyone does.
"""

import struct
from typing import Final, TypeAlias

import cramjam

from .errors import InvalidRecord
from .model import Compression

Buffer: TypeAlias = bytes | bytearray | memoryview

_XERIAL_MAGIC: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER: Final = _XERIAL_MAGIC + struct.pack(">ii", 1, 1)
_XERIAL_BLOCK: Final = 32 * 1024
_INT32: Final = struct.Struct(">i")

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
        InvalidRecord: the data is not of this codec.
    """
    try:
        match codec:
            case Compression.NONE:
                return bytes(data)
            case Compression.GZIP:
                return bytes(cramjam.gzip.decompress(data))
            case Compression.SNAPPY:
                return _snappy_decompress(data)
            case Compression.LZ4:
                return bytes(cramjam.lz4.decompress(data))
            case Compression.ZSTD:
                return bytes(cramjam.zstd.decompress(data))
    except (cramjam.DecompressionError, struct.error) as error:
        raise InvalidRecord(f"records are not valid {codec.name.lower()}: {error}") from error


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
        return bytes(cramjam.snappy.decompress_raw(view))
    parts = []
    position = len(_XERIAL_HEADER)
    while position < len(view):
        (size,) = _INT32.unpack_from(view, position)
        position += _INT32.size
        if not 0 <= size <= len(view) - position:
            raise struct.error(f"a block of {size} bytes at {position} of {len(view)}")
        parts.append(bytes(cramjam.snappy.decompress_raw(view[position : position + size])))
        position += size
    return b"".join(parts)
