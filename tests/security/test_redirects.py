"""A picture on a public host that sends the running app on into the local network is refused, by the app as it is."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

ALONE = ["unshare", "--map-root-user", "--net"]


def allowed() -> bool:
    """Whether this machine lets us have a network of our own."""
    try:
        return subprocess.run([*ALONE, "true"], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not allowed(), reason="needs a network namespace of its own (unshare --map-root-user --net)")
def test_a_public_host_cannot_send_the_running_app_into_the_local_network() -> None:
    done = subprocess.run(
        [*ALONE, sys.executable, "-m", "tests.security.outside"],
        cwd=ROOT, check=False, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    for reached in ("picture", "to_picture"):  # so it is the redirect that is refused, not the host
        assert told["found"][reached] == {"notices": [], "got": True}, told
    for refused in ("loopback", "by_name", "metadata", "two_hops"):
        assert told["found"][refused]["notices"], told
        assert "local" in told["found"][refused]["notices"][0]
        assert not told["found"][refused]["got"]
        assert f"/{refused}" in told["outer"]
    assert told["inner"] == told["metadata"] == []
