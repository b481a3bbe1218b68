"""Every client library with every row of the table, at one running program."""

from __future__ import annotations

import json

import pytest

from tests.clients.conftest import MAKERS
from tests.clients.packages import Client
from tests.clients.rows import WHO, Row
from tests.clients.rows_refused import ALL_ROWS
from tests.clients.running import Doors
from tests.stack import until

pytestmark = pytest.mark.stack

FREE_S = 4.0  # one second on an idle machine; without an end the work goes on for seven seconds and more
TIMEOUTS = {"APIConnectionTimeoutError": "APITimeoutError"}  # what Node calls it
VERSIONS = {"openai": ("2.", "3."), "openai 1.x": ("1.",), "openai node": ("6.",), "raw": ("HTTP",)}
CALLS = [pytest.param(name, row, id=f"{name}: {row.name}") for name in MAKERS for row in ALL_ROWS if name in (row.clients or MAKERS)]


@pytest.mark.parametrize(("client", "row"), CALLS, indirect=["client"])
def test_a_client_gets_what_openai_would_send(row: Row, client: Client, doors: Doors) -> None:
    asked = {
        "call": row.call,
        "ask": json.loads(json.dumps(row.ask).replace(WHO, client.version)),
        "base_url": doors.guarded if row.guarded else doors.open,
        "key": row.key,
        "timeout_s": row.timeout_s,
        "leave_after": row.leave_after,
    }
    outcome = client.outcome(asked)
    if "error" in outcome:
        outcome["error"] = TIMEOUTS.get(outcome["error"], outcome["error"])
    row.check(outcome)
    if row.frees:
        until(lambda: doors.busy() == 0, "the slot is free", FREE_S)


@pytest.mark.parametrize(("client", "known"), VERSIONS.items(), indirect=["client"])
def test_the_clients_are_those_that_are_meant(client: Client, known: tuple[str, ...]) -> None:
    assert client.version.startswith(known)
