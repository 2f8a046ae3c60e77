"""The bounds of the block format: the packer keeps them, the unpacker refuses what breaks them."""

from typing import Final

FORMAT_VERSION: Final = 1

# The bytes of all blocks of a batch. A batch is sealed at 64 kB by default; this leaves room for other settings.
MAX_BATCH_BYTES: Final = 1 << 20

# The samples of a batch. Unchanged ones cost a bit or less, so the bytes alone do not bound the memory they need.
MAX_SAMPLES: Final = 1 << 18

# The fields of one shape: a Modbus response has at most 2000 coils (Modbus Application Protocol V1.1b3, 6.1).
MAX_SHAPE_FIELDS: Final = 2048

# The fields of all shapes of a batch: each holds a few tens of bytes of codec state.
MAX_FIELDS: Final = 1 << 17

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
