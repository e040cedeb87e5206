"""The block of memory in which a worker counts, and which its dispatcher makes and reads.

    0       the length of the layout (8 bytes, little endian); 0 while there is none
    8       the numbers, each a double in the byte order of this machine
    8192    the layout, JSON: {family: [type, help, [[sample, {label: value}, place], ...]]}

`place` counts the numbers from 0. Sizes and places are in bytes.
"""

from typing import Final

SIZE: Final = 65_536
NUMBERS_AT: Final = 8
LAYOUT_AT: Final = 8192
