"""The bounds of the block format: the packer keeps them, the unpacker refuses what breaks them."""

from typing import Final

FORMAT_VERSION: Final = 3
OLD_VERSION: Final = 2  # what it was before; still read

# The bytes of all blocks of a batch. A batch is sealed at 64 kB by default; this leaves room for other settings.
MAX_BATCH_BYTES: Final = 1 << 20

# The samples of a batch. Unchanged ones cost next to nothing, so the bytes alone bound neither memory nor time: with
# objects of their own so many take some 15 MB.
MAX_SAMPLES: Final = 1 << 16

# The work of a batch, for what else costs time and next to no bytes: a field of a record counts one, whether it has a
# sample there or not; a new text, each of its bytes and a scaled float count as below. All of it takes 10 to 30 ms on
# a PC; with the samples, which take most where they are decimals, it stays under 100 ms.
MAX_WORK: Final = 1 << 20
TEXT_WORK: Final = 32  # objects, and for a number its parsing
LETTER_WORK: Final = 2
SCALED_FLOAT_WORK: Final = 256  # an exact quotient of numbers of a thousand bits

# The fields of one shape: a Modbus response has at most 2000 coils (Modbus Application Protocol V1.1b3, 6.1).
MAX_SHAPE_FIELDS: Final = 2048

# The fields of all shapes of a batch: each, with its shape, holds up to 400 bytes of codec state.
MAX_FIELDS: Final = 1 << 14

# A series number takes 32 bits.
MAX_SERIES_NUMBER: Final = (1 << 32) - 1

# Milliseconds that a double still counts one by one (285,000 years).
MAX_TIME_MS: Final = (1 << 53) - 1

# A text or a byte string: half of a batch of the default size.
MAX_TEXT_BYTES: Final = 32_768

# A number too large for the fast form, as text: far below the 4300 digits that CPython converts without a limit.
MAX_NUMBER_BYTES: Final = 512

# The power of ten of a scale: a decimal beyond it travels as text.
MAX_EXPONENT: Final = 127

# The power of ten of a number that travels as text.
MAX_TEXT_EXPONENT: Final = 9999

# Decimal digits tried for a float: metering goes to six, positions to seven.
MAX_DIGITS: Final = 9

# Sentinel values of one point: they are compared one by one.
MAX_SENTINELS: Final = 16

# The scales of a batch: one for each field, and one for each power of ten that a decimal may have.
MAX_SCALES: Final = MAX_FIELDS + 2 * MAX_EXPONENT + 1

# What a window of samples comes to: the last parts of the names of its points (`device/point.mean`), in this order.
AGGREGATES: Final = ("min", "mean", "max", "count")
