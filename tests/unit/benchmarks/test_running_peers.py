import http.server
import os
import socket
import sys
from pathlib import Path

import pytest

from benchmarks.peers.running import PeerRefused, free_port, process


def test_a_peer_runs_within_its_context_and_no_longer(tmp_path: Path):
    port = free_port()
    command = [sys.executable, "-m", http.server.__name__, "--bind", "127.0.0.1", str(port)]
    with process(command, port, tmp_path / "log") as pid:
        socket.create_connection(("127.0.0.1", port)).close()
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_peer_that_ends_at_once_is_refused_with_its_last_words(tmp_path: Path):
    command = [sys.executable, "-c", "raise SystemExit('no such index')"]
    with pytest.raises(PeerRefused, match="no such index"), process(command, free_port(), tmp_path / "log"):
        pass
