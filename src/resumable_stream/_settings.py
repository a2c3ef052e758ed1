"""The settings of a context, and the intervals that follow from them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from resumable_stream._offsets import OffsetUnit
from resumable_stream.errors import InvalidSettingError

_MAX_PREFIX = 128


@dataclass(frozen=True, slots=True)
class Settings:
    """What ``create_resumable_stream_context`` documents; all times in seconds."""

    key_prefix: str = "resumable-stream"
    lease: float = 15.0
    handshake_timeout: float = 5.0
    outage_timeout: float = 60.0
    retention: float = 24 * 60 * 60
    drain_timeout: float = 10.0
    buffer_limit: int = 128 * 1024 * 1024
    offset_unit: OffsetUnit = OffsetUnit.UTF16
    disclose_errors: bool = True
    # How much a remote reader takes at once, and about what it holds at most, in bytes.
    window: int = 1024 * 1024
    # How long an ended producer keeps its text for a reader that is there but does not read.
    linger: float = 300.0

    def __post_init__(self) -> None:
        if not 0 < len(self.key_prefix) <= _MAX_PREFIX or ":rs:" in f"{self.key_prefix}:":
            raise InvalidSettingError(
                f"key_prefix {self.key_prefix!r} must have 1 to {_MAX_PREFIX} characters "
                "and not contain ':rs:' or end in ':rs'"
            )
        try:
            self.key_prefix.encode()
        except UnicodeEncodeError:
            raise InvalidSettingError(
                f"key_prefix {self.key_prefix!r} has lone surrogates: use text UTF-8 can encode"
            ) from None
        for name, least in (
            ("lease", 1.0),
            ("handshake_timeout", 0.0),
            ("outage_timeout", 0.0),
            ("retention", 1.0),
            ("drain_timeout", 0.0),
            ("buffer_limit", 1),
        ):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or value < least:
                raise InvalidSettingError(f"{name} {value!r} must be a number of at least {least}")

    @property
    def lease_ttl(self) -> int:
        return math.ceil(self.lease)

    @property
    def retention_ttl(self) -> int:
        return math.ceil(self.retention)

    @property
    def renew_interval(self) -> float:
        """Two renewals may be lost before a lease runs out."""
        return self.lease / 3

    @property
    def heartbeat(self) -> float:
        """How often a producer and a listener that have nothing to say tell each other so."""
        return self.lease / 5
