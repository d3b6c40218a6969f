"""Who does not know the secret is refused, with a reason; who does is let in, and by which one."""

import base64
import hmac
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest

from reconciliation.webhooks.headers import Headers
from reconciliation.webhooks.hosts import HostKind
from reconciliation.webhooks.signatures import Secret, Verdict, verify

NOW = 1_772_452_800
BODY = b'{"ref":"refs/heads/main"}'
KEY = "a secret that two know"
LIVE = [Secret("old", "rotated out tomorrow"), Secret("new", KEY)]
SIGNING_KEY = b"24 bytes or more of key!"
SIGNING = "whsec_" + base64.b64encode(SIGNING_KEY).decode()
OK = Verdict(ok=True, secret_id="new", reason="ok")
FORM = ("Content-Type", "application/x-www-form-urlencoded")

BESIDE_THE_PROJECT = Path(__file__).parents[4] / "shared" / "data"
VECTORS = Path(os.environ.get("RECORDED_REQUESTS", str(BESIDE_THE_PROJECT)))
VECTOR_FILE = VECTORS / "vectors" / "signatures.json"


def sha256_hex(body: bytes, key: str = KEY) -> str:
    return hmac.new(key.encode(), body, "sha256").hexdigest()


def standard(
    *, body: bytes = BODY, sent_at: str = str(NOW), message: str = "m-1", key: bytes = SIGNING_KEY
) -> list[tuple[str, str]]:
    signed = f"{message}.{sent_at}.".encode() + body
    proof = base64.b64encode(hmac.new(key, signed, "sha256").digest()).decode()
    return [
        ("webhook-id", message),
        ("webhook-timestamp", sent_at),
        ("webhook-signature", f"v1,{proof}"),
    ]


def check(
    host: HostKind,
    pairs: list[tuple[str, str]],
    *,
    body: bytes = BODY,
    secrets: list[Secret] | None = None,
    now: int = NOW,
) -> Verdict:
    return verify(host, Headers(pairs), body, LIVE if secrets is None else secrets, now_unix=now)


HEX_HOSTS = [
    (HostKind.GITHUB, "X-Hub-Signature-256", "sha256="),
    (HostKind.GITEA, "X-Gitea-Signature", ""),
    (HostKind.FORGEJO, "X-Forgejo-Signature", ""),
    (HostKind.FORGEJO, "X-Gitea-Signature", ""),
    (HostKind.GOGS, "X-Gogs-Signature", ""),
    (HostKind.BITBUCKET, "X-Hub-Signature", "sha256="),
    (HostKind.BITBUCKET_DC, "X-Hub-Signature", "sha256="),
    (HostKind.GENERIC, "X-Pagure-Signature-256", ""),
]
each_hex_host = pytest.mark.parametrize(("host", "name", "prefix"), HEX_HOSTS)


@each_hex_host
def test_a_body_signed_with_a_live_secret_is_proven(host: HostKind, name: str, prefix: str) -> None:
    assert check(host, [(name, prefix + sha256_hex(BODY))]) == OK
    assert check(host, [(name, prefix + sha256_hex(BODY).upper())]) == OK


@each_hex_host
def test_one_changed_byte_is_a_mismatch(host: HostKind, name: str, prefix: str) -> None:
    proof = prefix + sha256_hex(BODY)

    assert check(host, [(name, proof)], body=BODY + b" ").reason == "mismatch"
    assert check(host, [(name, proof)], secrets=[Secret("1", KEY + " ")]).reason == "mismatch"


@each_hex_host
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "empty_signature"),
        ("0", "malformed_signature"),
        ("0" * 63, "malformed_signature"),
        ("0" * 65, "malformed_signature"),
        ("g" * 64, "malformed_signature"),
        ("\u0660" * 64, "malformed_signature"),
        ("\xe9" * 64, "malformed_signature"),
        ("0" * 64 + ",sha256=" + "0" * 64, "repeated_signature"),
        ("0" * 64, "mismatch"),
    ],
)
def test_what_is_no_proof_is_refused_by_name(
    host: HostKind, name: str, prefix: str, value: str, reason: str
) -> None:
    assert check(host, [(name, prefix + value)]) == Verdict(False, None, reason)


@each_hex_host
def test_a_missing_or_repeated_proof_is_refused(host: HostKind, name: str, prefix: str) -> None:
    proof = prefix + sha256_hex(BODY)

    assert check(host, []).reason == "missing_signature"
    assert check(host, [(name, proof), (name, proof)]).reason == "repeated_signature"
    assert check(host, [(name, "x"), (name.lower(), proof)]).reason == "repeated_signature"


@pytest.mark.parametrize("host", list(HostKind))
@pytest.mark.parametrize(
    "secrets", [[], [Secret("1", "")], [Secret("1", " ")], [Secret("1", "\ud800")]]
)
def test_nothing_verifies_under_no_secret_or_an_empty_one(
    host: HostKind, secrets: list[Secret]
) -> None:
    under_nothing = hmac.new(b"", BODY, "sha256").hexdigest()
    pairs = [(name, prefix + under_nothing) for _, name, prefix in HEX_HOSTS[1:]]
    pairs += [("X-Gitlab-Token", ""), ("Authorization", "Basic Og==")]

    assert check(host, pairs, secrets=secrets) == Verdict(False, None, "no_secret")


def test_an_empty_secret_beside_a_good_one_opens_nothing() -> None:
    secrets = [Secret("empty", ""), Secret("new", KEY)]
    under_nothing = hmac.new(b"", BODY, "sha256").hexdigest()

    refused = check(HostKind.GITEA, [("X-Gitea-Signature", under_nothing)], secrets=secrets)
    proven = check(HostKind.GITEA, [("X-Gitea-Signature", sha256_hex(BODY))], secrets=secrets)

    assert (refused.reason, proven) == ("mismatch", OK)


def test_sha1_alone_is_refused_for_github() -> None:
    sha1 = "sha1=" + hmac.new(KEY.encode(), BODY, "sha1").hexdigest()

    assert check(HostKind.GITHUB, [("X-Hub-Signature", sha1)]).reason == "legacy_only"
    assert check(HostKind.BITBUCKET, [("X-Hub-Signature", sha1)]).reason == "legacy_only"
    assert check(HostKind.GENERIC, [("X-Pagure-Signature", sha1[5:])]).reason == "legacy_only"


def test_a_good_sha1_does_not_help_a_bad_sha256() -> None:
    sha1 = "sha1=" + hmac.new(KEY.encode(), BODY, "sha1").hexdigest()
    pairs = [("X-Hub-Signature", sha1), ("X-Hub-Signature-256", "sha256=" + "0" * 64)]

    assert check(HostKind.GITHUB, pairs).reason == "mismatch"


def test_github_signs_the_whole_form() -> None:
    form = b"payload=" + quote_plus(BODY).encode()
    over_form = ("X-Hub-Signature-256", "sha256=" + sha256_hex(form))
    over_json = ("X-Hub-Signature-256", "sha256=" + sha256_hex(BODY))

    assert check(HostKind.GITHUB, [FORM, over_form], body=form) == OK
    assert check(HostKind.GITHUB, [FORM, over_json], body=form).reason == "mismatch"


@pytest.mark.parametrize(("host", "name", "_"), HEX_HOSTS[1:5])
def test_gitea_and_its_kin_sign_the_json_inside_the_form(host: HostKind, name: str, _: str) -> None:
    form = b"payload=" + quote_plus(BODY).encode()

    assert check(host, [FORM, (name, sha256_hex(BODY))], body=form) == OK
    assert check(host, [FORM, (name, sha256_hex(form))], body=form).reason == "mismatch"
    assert check(host, [FORM, (name, sha256_hex(BODY))], body=b"payload=%").reason == "bad_form"


def test_forgejo_is_not_let_in_by_its_second_signature() -> None:
    pairs = [("X-Forgejo-Signature", "0" * 64), ("X-Gitea-Signature", sha256_hex(BODY))]

    assert check(HostKind.FORGEJO, pairs).reason == "mismatch"


TOKENS = [Secret("old", "token-1"), Secret("new", "tökén-2")]


@pytest.mark.parametrize("sent", ["tökén-2", "tökén-2".encode().decode("latin-1")])
def test_gitlabs_token_is_compared_as_text_or_as_its_bytes(sent: str) -> None:
    assert check(HostKind.GITLAB, [("X-Gitlab-Token", sent)], secrets=TOKENS) == OK


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ("", "empty_signature"),
        ("token-2", "mismatch"),
        ("token-", "mismatch"),
        ("token-11", "mismatch"),
        ("\udcff\ud800", "mismatch"),
        ("t\u4e00ken-1", "mismatch"),
    ],
)
def test_another_token_is_refused(sent: str, reason: str) -> None:
    assert check(HostKind.GITLAB, [("X-Gitlab-Token", sent)], secrets=TOKENS).reason == reason


def test_a_missing_or_repeated_token_is_refused() -> None:
    twice = [("X-Gitlab-Token", "token-1")] * 2

    assert check(HostKind.GITLAB, [], secrets=TOKENS).reason == "missing_signature"
    assert check(HostKind.GITLAB, twice, secrets=TOKENS).reason == "repeated_signature"


BOTH = [Secret("token", "token-1"), Secret("new", SIGNING)]


def test_gitlabs_signature_is_proven_by_the_signing_secret() -> None:
    assert check(HostKind.GITLAB, standard(), secrets=BOTH) == OK


def test_a_bad_signature_never_falls_back_to_a_good_token() -> None:
    token = ("X-Gitlab-Token", "token-1")
    for bad in (
        standard(body=b"other"),
        [("webhook-signature", "")],
        [("webhook-signature", "v1,")],
    ):
        assert not check(HostKind.GITLAB, [token, *bad], secrets=BOTH).ok


def test_a_signature_that_only_a_token_could_prove_is_refused() -> None:
    pairs = [("X-Gitlab-Token", "token-1"), *standard(key=b"token-1")]

    verdict = check(HostKind.GITLAB, pairs, secrets=[Secret("token", "token-1")])

    assert verdict.reason == "no_signing_secret"


def test_a_signing_secret_sent_in_plain_is_no_token() -> None:
    pairs = [("X-Gitlab-Token", SIGNING)]

    assert (
        check(HostKind.GITLAB, pairs, secrets=[Secret("1", SIGNING)]).reason == "missing_signature"
    )


STANDARD_HOSTS = pytest.mark.parametrize("host", [HostKind.GITLAB, HostKind.GENERIC])


@STANDARD_HOSTS
@pytest.mark.parametrize(
    ("age", "reason"),
    [
        (-301, "future_timestamp"),
        (-300, "ok"),
        (0, "ok"),
        (299, "ok"),
        (300, "ok"),
        (301, "stale_timestamp"),
    ],
)
def test_a_signature_counts_for_300_seconds_both_ways(
    host: HostKind, age: int, reason: str
) -> None:
    assert check(host, standard(sent_at=str(NOW - age)), secrets=BOTH).reason == reason


@STANDARD_HOSTS
@pytest.mark.parametrize("sent_at", ["", "soon", "-1", "1e9", "1" * 13, "\u0661" * 10, "1.5"])
def test_a_time_that_is_no_number_is_refused(host: HostKind, sent_at: str) -> None:
    pairs = [*standard()[::2], ("webhook-timestamp", sent_at)]

    assert check(host, pairs, secrets=BOTH).reason == "malformed_timestamp"


@STANDARD_HOSTS
def test_id_and_time_are_under_the_signature(host: HostKind) -> None:
    message, sent_at, proof = standard()

    other_id = [("webhook-id", "m-2"), sent_at, proof]
    other_time = [message, ("webhook-timestamp", str(NOW - 1)), proof]

    assert check(host, other_id, secrets=BOTH).reason == "mismatch"
    assert check(host, other_time, secrets=BOTH).reason == "mismatch"


@STANDARD_HOSTS
def test_one_good_signature_in_a_list_is_enough(host: HostKind) -> None:
    *rest, (_, proof) = standard()
    listed = f"v1a,ignored v1,{'A' * 43}= {proof}"

    assert check(host, [*rest, ("webhook-signature", listed)], secrets=BOTH) == OK


@STANDARD_HOSTS
@pytest.mark.parametrize(
    "listed",
    ["v2,AAAA", "v1,", "v1", "v1,AAAA", "v1,\xe9", "v1," + "A" * 44, "v1a," + "A" * 43 + "="],
)
def test_a_list_without_a_v1_signature_is_malformed(host: HostKind, listed: str) -> None:
    pairs = [*standard()[:2], ("webhook-signature", listed)]

    assert check(host, pairs, secrets=BOTH).reason == "malformed_signature"


@STANDARD_HOSTS
def test_a_list_of_more_than_16_signatures_is_malformed(host: HostKind) -> None:
    *rest, (_, proof) = standard()

    sixteen = [*rest, ("webhook-signature", " ".join([proof] * 16))]
    seventeen = [*rest, ("webhook-signature", " ".join([proof] * 17))]

    assert check(host, sixteen, secrets=BOTH) == OK
    assert check(host, seventeen, secrets=BOTH).reason == "malformed_signature"


@STANDARD_HOSTS
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_repeated_header_of_the_scheme_is_refused(host: HostKind, place: int) -> None:
    pairs = standard()

    assert check(host, [*pairs, pairs[place]], secrets=BOTH).reason == "repeated_signature"


@pytest.mark.parametrize("broken", ["whsec_", "whsec_!!!!", "whsec_A", "whsec_é"])
def test_a_signing_secret_that_is_no_base64_proves_nothing(broken: str) -> None:
    pairs = standard(key=b"")

    assert check(HostKind.GENERIC, pairs, secrets=[Secret("1", broken)]).reason == "mismatch"


def test_a_generic_secret_without_prefix_is_its_own_key() -> None:
    assert check(HostKind.GENERIC, standard(key=KEY.encode())) == OK


def basic(credentials: str) -> list[tuple[str, str]]:
    return [("Authorization", "Basic " + base64.b64encode(credentials.encode()).decode())]


@pytest.mark.parametrize(
    ("secret", "sent", "reason"),
    [
        ("hook:pässword", "hook:pässword", "ok"),
        ("pässword", "anyone:pässword", "ok"),
        ("pässword", ":pässword", "ok"),
        ("hook:a:b", "hook:a:b", "ok"),
        ("hook:password", "other:password", "mismatch"),
        ("hook:password", "hook:Password", "mismatch"),
        ("password", "password:password2", "mismatch"),
        ("hook:password", "hook:", "empty_signature"),
        (":", ":", "empty_signature"),
        ("password", "password", "malformed_signature"),
    ],
)
def test_azure_is_proven_by_user_and_password_or_by_the_password(
    secret: str, sent: str, reason: str
) -> None:
    secrets = [Secret("old", "x:y"), Secret("new", secret)]

    assert check(HostKind.AZURE, basic(sent), secrets=secrets).reason == reason


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([], "missing_signature"),
        ([("Authorization", "")], "empty_signature"),
        ([("Authorization", "Bearer abc")], "malformed_signature"),
        ([("Authorization", "Basic")], "malformed_signature"),
        ([("Authorization", "Basic !")], "malformed_signature"),
        ([("Authorization", "Basic QQ=")], "malformed_signature"),
        ([("Authorization", "Basic \xe9")], "malformed_signature"),
        ([*basic("hook:password"), *basic("hook:password")], "repeated_signature"),
    ],
)
def test_an_authorization_that_is_not_basic_is_refused(
    pairs: list[tuple[str, str]], reason: str
) -> None:
    assert check(HostKind.AZURE, pairs, secrets=[Secret("1", "hook:password")]).reason == reason


def test_the_scheme_basic_has_no_case() -> None:
    pairs = [("authorization", basic("hook:password")[0][1].replace("Basic", "bAsIc"))]

    assert check(HostKind.AZURE, pairs, secrets=[Secret("new", "hook:password")]) == OK


def test_all_secrets_are_tried_and_the_first_that_proves_is_named() -> None:
    pairs = [("X-Gitea-Signature", sha256_hex(BODY))]
    twice = [Secret("a", "x"), Secret("b", KEY), Secret("c", KEY)]

    assert check(HostKind.GITEA, pairs, secrets=twice).secret_id == "b"
    assert check(HostKind.GITEA, pairs, secrets=twice[::-1]).secret_id == "c"


def test_a_secret_never_shows_its_value() -> None:
    assert KEY not in repr(Secret("1", KEY))
    assert KEY not in str(Secret("1", KEY))


def vectors() -> list[Any]:
    if not VECTOR_FILE.exists():
        return []
    return [
        pytest.param(vector, id=f"{vector['host']} {vector['header']}")
        for vector in json.loads(VECTOR_FILE.read_text())
    ]


@pytest.mark.skipif(not vectors(), reason="no published vectors beside the project")
@pytest.mark.parametrize("vector", vectors() or [pytest.param(None, id="none")])
def test_published_values_are_proven(vector: dict[str, Any]) -> None:
    generic = {"standard-webhooks": "generic", "pagure": "generic", "any": "github"}
    host = HostKind(generic.get(vector["host"], vector["host"]))
    pairs = [(vector["header"], vector["value"])]
    if "id" in vector:
        pairs += [("webhook-id", vector["id"]), ("webhook-timestamp", str(vector["timestamp"]))]

    verdict = check(
        host,
        pairs,
        body=vector["body"].encode(),
        secrets=[Secret("new", vector["secret"])],
        now=vector.get("timestamp", NOW),
    )

    wanted = {"any": "no_secret"}.get(vector["host"], "ok")
    if vector["value"].startswith("sha1="):
        wanted = "legacy_only"
    assert verdict.reason == wanted
