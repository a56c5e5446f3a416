"""No test reaches for the network: whoever tries fails, and says where to."""

import socket
import urllib.request
from contextlib import suppress

import pytest

FAR = "192.0.2.1"  # an address that is nobody's


@pytest.mark.parametrize(
    "reach",
    [
        lambda end: end.connect((FAR, 9)),
        lambda end: end.connect_ex((FAR, 9)),
        lambda end: socket.create_connection((FAR, 9), timeout=0.1),
        lambda end: socket.getaddrinfo("hub.example", 443),
        lambda end: socket.gethostbyname("hub.example"),
        lambda end: urllib.request.urlopen("http://hub.example/model", timeout=0.1),
    ],
)
def test_the_network_is_out_of_reach(reach):
    def stubborn():
        with socket.socket() as end, suppress(Exception):  # as a program that would try again
            end.settimeout(0.1)
            reach(end)

    with pytest.raises(
        pytest.fail.Exception, match=r"^a test reaches for \S+ over the network; give it files"
    ):
        stubborn()


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_this_machine_is_not(family, host):
    with socket.socket(family) as server:
        try:
            server.bind((host, 0))
        except OSError as problem:
            if family == socket.AF_INET:
                raise
            pytest.skip(f"IPv6 is turned off here, the loopback of IPv4 is tried above ({problem})")
        server.listen()
        with socket.create_connection(
            ("localhost" if family == socket.AF_INET else host, server.getsockname()[1])
        ):
            pass


def test_a_socket_of_a_path_is_not(tmp_path):
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as end:
        server.bind(str(tmp_path / "s"))
        server.listen()
        end.connect(str(tmp_path / "s"))
