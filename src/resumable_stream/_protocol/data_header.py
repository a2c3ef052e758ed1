"""The header of a data frame, written and read by hand: a JSON codec takes twice as long."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from resumable_stream._protocol.joined_fields import joined_fields

if TYPE_CHECKING:
    from resumable_stream._protocol.wire import DataFrame

# A number of more than 15 digits may be too large: it is left to the JSON codec, which checks.
_NATURAL = rb"(0|[1-9][0-9]{0,14})"

# What ``data_header`` returns, and the line feed. Any other header is read as JSON.
USUAL_HEADER = re.compile(
    rb'\{"type":"data","generation":%b,"sequence":%b,"byte":%b,"count":%b,"size":%b'
    rb'(?:,"separator":"\\u00(1[cdf])")?,"end":%b(,"partial":true)?(,"last":true)?'
    rb'(?:,"offset":%b)?\}\n' % ((_NATURAL,) * 7)
)


def data_header(frame: DataFrame) -> bytes:
    sequence, byte = frame.place
    optional = (
        (',"partial":true' if frame.partial else "")
        + (',"last":true' if frame.last else "")
        + ("" if frame.offset is None else f',"offset":{frame.offset}')
    )
    return (
        f'{{"type":"data","generation":{frame.generation},"sequence":{sequence},"byte":{byte}'
        f',{joined_fields(frame.joined)},"end":{frame.end}{optional}}}'
    ).encode()
