"""Every exception of the package, named by its cause.

``ClusterError`` is the common base.  The name says whose doing it was: *Closed* means this side ended
the thing, *Broken* means the other side or the machine did.  ``InternalError`` is always a bug of ours.
"""

from __future__ import annotations

__all__ = [
    "ChannelBroken",
    "ChannelClosed",
    "ChannelFull",
    "ClusterError",
    "ConfigurationNotLoaded",
    "FrameError",
    "IllegalTransition",
    "InternalError",
    "MessageNotSerializable",
    "MessageTooLarge",
    "NotInCluster",
    "SettingsError",
]


class ClusterError(Exception):
    """Base of every error that this package raises."""


class InternalError(ClusterError):
    """A broken invariant of nodecluster-compat itself: please report it."""


class IllegalTransition(ClusterError):
    """A lifecycle was asked for a move that its table does not have; the state is unchanged."""


class NotInCluster(ClusterError, RuntimeError):
    """The call needs a running cluster, or the other role, and this process has neither."""


class SettingsError(ClusterError, ValueError):
    """Settings that cannot work, alone or together; the sentence says which and what to use instead."""


class ConfigurationNotLoaded(ClusterError):
    """A reload's configuration cannot be used; the former one is in force, all of it."""


class ChannelClosed(ClusterError):
    """The channel is closed, so nothing can be sent any more (Node: ``ERR_IPC_CHANNEL_CLOSED``)."""


class ChannelBroken(ClusterError):
    """The peer closed or lost the channel while this side still used it (Node: ``EPIPE``)."""


class ChannelFull(ClusterError):
    """The peer reads too slowly: the bytes waiting on this channel have reached their bound."""


class MessageNotSerializable(ClusterError, TypeError):
    """The message holds something that JSON cannot carry.  Nothing was sent."""


class MessageTooLarge(ClusterError, ValueError):
    """The encoded message is over the limit of one message.  Nothing was sent."""


class FrameError(ClusterError):
    """The bytes on a channel are not frames of this protocol."""
