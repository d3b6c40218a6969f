"""One login for the product's pages and the admin; only staff get into the admin."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

pytestmark = pytest.mark.django_db


def log_in(*, is_staff: bool) -> Client:
    User.objects.create_user("vera", password="a long password", is_staff=is_staff)
    client = Client()
    answer = client.post(
        "/admin/login/?next=/",
        {"username": "vera", "password": "a long password", "next": "/"},
    )
    assert (answer.status_code, answer["Location"]) == (302, "/")
    return client


def test_a_member_who_is_not_staff_gets_the_pages_but_not_the_records() -> None:
    client = log_in(is_staff=False)

    assert client.get("/").status_code == 200
    assert client.get("/admin/").status_code == 302


def test_staff_get_both() -> None:
    client = log_in(is_staff=True)

    assert client.get("/").status_code == 200
    assert client.get("/admin/").status_code == 200
