"""Which worker a session of Engine.IO says that it belongs to."""

from __future__ import annotations

from typing import Any

import pytest

from nodecluster_compat.routing.engineio import EngineIO, stamp, worker_of
from nodecluster_compat.routing.head import RequestHead
from nodecluster_compat.routing.keys import ANYBODY

SID = "wGf0hLQyoVuhV3R6AAAA"


def test_a_stamped_sid_says_whose_it_is() -> None:
    assert stamp(SID, 12) == f"{SID}.12"
    assert worker_of(stamp(SID, 12)) == 12


@pytest.mark.parametrize(
    "sid",
    ["", SID, f"{SID}.", f"{SID}.0", f"{SID}.01", f"{SID}.-1", f"{SID}.1x", f"{SID}.1 ", f"x{SID}.1", f"{SID}.1.1",
     f"{SID[:-1]}.1", f"{SID}.99999999999", f"{SID}.\u0661", ".1", f"{SID}.1\n"],
)  # fmt: skip
def test_what_was_not_stamped_is_nobodys(sid: Any) -> None:
    assert worker_of(sid) is None


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (f"/socket.io/?EIO=4&transport=polling&sid={SID}.3", 3),
        (f"/socket.io/?sid={SID}.3&EIO=4", 3),
        (f"/socket.io/?EIO=4&sid={SID}%2E3", 3),
        ("/socket.io/?EIO=4&transport=polling", ANYBODY),
        (f"/socket.io/?EIO=4&sid={SID}", None),
        ("/socket.io/?EIO=4&sid=", None),
        (f"/page?sid={SID}.3", None),
        (f"/page?from=EIO=4&sid={SID}.3", None),
        ("/", None),
    ],
)
def test_requests_of_engineio_are_known_by_their_query(target: Any, found: Any) -> None:
    assert EngineIO().find(RequestHead(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())) == found
