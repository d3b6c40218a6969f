"""What a sender sees on a real connection, where an answer may be lost and a body may be slow."""

import http.client
import json
import socket
import time

import pytest
from pytest_django.live_server_helper import LiveServer

from reconciliation.models import WebhookDelivery
from tests.conftest import World
from tests.factories.governance import HEAD_A, HEAD_B
from tests.factories.webhooks import SECRET, github_headers, push_body, webhook_source

pytestmark = pytest.mark.django_db(transaction=True)

MIB = 1024 * 1024


def connected(server: LiveServer) -> http.client.HTTPConnection:
    host, _, port = server.url.removeprefix("http://").partition(":")
    return http.client.HTTPConnection(host, int(port), timeout=20)


@pytest.mark.parametrize(("host", "status"), [("gitlab", 202), ("gitea", 413)])
def test_the_answer_to_a_body_far_over_the_cap_reaches_its_sender(
    live_server: LiveServer, tenant_world: World, host: str, status: int
) -> None:
    source = webhook_source(tenant_world.repository, host=host)
    connection = connected(live_server)

    connection.request(
        "POST",
        f"/api/v1/webhooks/{source.token}",
        body=b"x" * (20 * MIB),
        headers={"X-Gitlab-Token": SECRET},
    )
    answer = connection.getresponse()

    assert (answer.status, answer.getheader("Content-Type", "").endswith("json")) == (status, True)
    assert "too_large" in answer.read().decode()


def test_a_body_that_comes_in_pieces_is_waited_for(
    live_server: LiveServer, tenant_world: World
) -> None:
    source = webhook_source(tenant_world.repository)
    body = push_body("main", HEAD_A, HEAD_B)
    connection = connected(live_server)
    connection.putrequest("POST", f"/api/v1/webhooks/{source.token}")
    for name, value in {**github_headers(body), "Content-Length": str(len(body))}.items():
        connection.putheader(name, value)
    connection.endheaders()

    for piece in (body[:10], body[10:200], body[200:]):
        connection.send(piece)
        time.sleep(0.05)
    told = json.loads(connection.getresponse().read())

    assert told["outcome"] == "accepted"
    assert WebhookDelivery.objects.get().body_bytes == len(body)


def test_a_sender_that_hangs_up_half_way_leaves_the_server_answering(
    live_server: LiveServer, tenant_world: World
) -> None:
    source = webhook_source(tenant_world.repository)
    body = push_body("main", HEAD_A, HEAD_B)
    broken = connected(live_server)
    broken.putrequest("POST", f"/api/v1/webhooks/{source.token}")
    broken.putheader("Content-Length", str(len(body)))
    broken.endheaders()
    broken.send(body[:50])
    assert isinstance(broken.sock, socket.socket)
    broken.sock.close()

    whole = connected(live_server)
    whole.request(
        "POST", f"/api/v1/webhooks/{source.token}", body=body, headers=github_headers(body)
    )

    assert whole.getresponse().status == 202
