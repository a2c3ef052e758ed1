"""What a backend says that it can do."""

from __future__ import annotations

from dataclasses import dataclass, field, fields


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a backend declares that it can do; the suite skips the tests that need more.

    The protocol needs the base capabilities. A backend that lacks one of them can run the rest of
    the suite while it is being written, but does not pass: one test requires all of them.
    """

    atomic_create: bool = field(default=True, metadata={"base": True})
    """``create`` writes only if the key is absent, in one atomic step. [KV-2]"""

    atomic_compare_and_set: bool = field(default=True, metadata={"base": True})
    """``compare_and_set`` compares and writes in one atomic step. [KV-3]"""

    expiry: bool = field(default=True, metadata={"base": True})
    """Every key expires after its time to live. [KV-5]"""

    confirmed_subscribe: bool = field(default=True, metadata={"base": True})
    """``subscribe`` returns once the subscription is live, not before. [PS-1]"""

    ordered_delivery: bool = field(default=True, metadata={"base": True})
    """Messages of one adapter to one channel arrive in the order of their publishing. [PS-3]"""

    reported_loss: bool = field(default=True, metadata={"base": True})
    """A subscription is told when messages may have been lost. [PS-7]"""

    shared_between_processes: bool = field(default=False, metadata={"base": False})
    """Another process that opens the suite's ``url`` reaches the same broker. [KV-1, PS-1]"""

    counts_subscribers: bool = field(default=False, metadata={"base": False})
    """The backend counts a channel's subscribers, as ``SubscriberCounts`` says. [PS-9]"""

    renews_many: bool = field(default=False, metadata={"base": False})
    """The backend renews many keys at once, as ``Renewals`` says. [KV-7]"""

    journal: bool = field(default=False, metadata={"base": False})
    """The backend keeps text: it has a ``journal``. [JN-1 to JN-9]"""

    @property
    def missing_base(self) -> tuple[str, ...]:
        """The base capabilities that are switched off."""
        return tuple(name for name in base_capabilities() if not getattr(self, name))


def base_capabilities() -> tuple[str, ...]:
    return tuple(item.name for item in fields(Capabilities) if item.metadata["base"])


def optional_capabilities() -> tuple[str, ...]:
    return tuple(item.name for item in fields(Capabilities) if not item.metadata["base"])
