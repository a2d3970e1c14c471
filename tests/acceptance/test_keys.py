"""API keys on a gateway that asks for them: made, used, revoked; an owner sees and touches only its own.

Over 300 lines: its tests share their helpers.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sqlalchemy import text

from shared.domain.identifiers import new_uuid7
from shared.settings import Database
from shared.storage.engine import make_engine
from tests.support.api_client import Json, expect_problem
from tests.support.batches import accepted, ended, results, send_images
from tests.support.extra_processes import ClosedGateway, GatewayByHand
from tests.support.pictures import data_url, renewed
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.support.stack import Stack

PNG = {"Content-Type": "image/png"}
# Nobody listens there; no address of one's own is called anyway unless a setting allows it.
HOOK = "http://127.0.0.1:9/hook"
EVERYBODYS = "models"
EVERYBODYS_LISTS = {"/v1/models", "/v1/account", "/v1/status", "/v1/status/history"}
"""What is nobody's own, and the account, which names no resource."""
PUBLIC = {("GET", "/health/live"), ("GET", "/health/ready")}
"""What the document has that needs no key."""


@pytest.fixture(scope="module")
def ann(closed: ClosedGateway) -> Iterator[httpx.Client]:
    with closed.client(closed.key("ann", "--role", "admin")) as client:
        yield client


@pytest.fixture(scope="module")
def bob(closed: ClosedGateway) -> Iterator[httpx.Client]:
    with closed.client(closed.key("bob", "--role", "admin")) as client:
        yield client


def predicted(client: httpx.Client, image: bytes, **query: str) -> Json:
    answer = client.post("/v1/predictions", content=image, params=query, headers=PNG | {"Prefer": "wait=60"})
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    assert found["status"] == "succeeded", found
    return found


@dataclass(frozen=True)
class Things:
    """The ids of one resource of each kind that has an owner."""

    prediction: str
    batch: str
    file: str
    delivery: str
    secret: str
    key: str

    def id(self, path: str) -> str:
        """Return the id for a path of the document; KeyError for a noun without an owned resource."""
        return {
            "predictions": self.prediction,
            "batches": self.batch,
            "files": self.file,
            "webhook-deliveries": self.delivery,
            "api-keys": self.key,
            EVERYBODYS: "1",
        }[path.split("/")[2]]


@pytest.fixture(scope="module")
def anns(ann: httpx.Client, scan: bytes) -> Things:
    prediction = predicted(ann, renewed(scan), webhook=HOOK)["id"]
    batch = accepted(send_images(ann, [("1.png", renewed(scan))]))["id"]
    ended(ann, batch)
    file = ann.post("/v1/files", files={"content": ("1.png", renewed(scan), "image/png")}).json()["id"]
    deliveries: list[Json] = []

    def told() -> bool:
        deliveries[:] = ann.get("/v1/webhook-deliveries", params={"subject": prediction}).json()["results"]
        return bool(deliveries)

    until(told, what="its end is recorded")
    secret = ann.get("/v1/webhooks/default/secret").json()["key"]
    key = ann.post("/v1/api-keys", json={"role": "read"}).json()["id"]
    return Things(prediction, batch, file, deliveries[-1]["id"], secret, key)


def operations(client: httpx.Client) -> list[tuple[str, str]]:
    document = client.get("/openapi.json").json()
    return [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]


def ask(client: httpx.Client, method: str, path: str) -> httpx.Response:
    content = {"content": b"", "headers": PNG} if method == "POST" else {}
    return client.request(method, path, **content)  # type: ignore[arg-type]


def test_every_operation_answers_401_without_a_valid_key(closed: ClosedGateway, anns: Things) -> None:
    with closed.client() as nobody, closed.client(f"dk_{'x' * 43}") as stranger:
        for method, path in operations(nobody):
            where = re.sub(r"{\w+}", lambda name, path=path: anns.id(path) if name[0] == "{id}" else "x", path)
            for client in (nobody, stranger):
                answer = ask(client, method, where)
                if (method, path) in PUBLIC:
                    assert answer.status_code == 200, (method, path)
                else:
                    expect_problem(answer, 401, "unauthorized")
                    assert answer.headers["WWW-Authenticate"] == "Bearer"
        for scheme in ("Basic ZGtfeDp4", "Bearer", f"Bearer dk_{'y' * 100_00}", "Bearer ü"):
            answer = nobody.get("/v1/predictions", headers={"Authorization": scheme.encode()})
            assert answer.status_code == 401, scheme


def test_another_owners_ids_are_not_found(ann: httpx.Client, bob: httpx.Client, anns: Things) -> None:
    asked = 0
    for method, path in operations(bob):
        if "{id}" in path and EVERYBODYS not in path:
            answer = ask(bob, method, path.replace("{id}", anns.id(path)))
            assert answer.status_code == 404, (method, path, answer.text)
            unknown = ask(bob, method, path.replace("{id}", new_uuid7()))
            same = [answer.json()[name] for name in ("type", "title", "status")]
            assert same == [unknown.json()[name] for name in ("type", "title", "status")]
            asked += 1
    assert asked > 10
    # None of that has changed anything.
    assert ann.get(f"/v1/predictions/{anns.prediction}").json()["status"] == "succeeded"
    assert ann.get(f"/v1/batches/{anns.batch}").json()["status"] == "completed"
    assert ann.get(f"/v1/files/{anns.file}").status_code == 200
    assert ann.get(f"/v1/webhook-deliveries/{anns.delivery}").status_code == 200


def test_no_list_shows_another_owners_resources(
    ann: httpx.Client, bob: httpx.Client, anns: Things, scan: bytes
) -> None:
    predicted(bob, renewed(scan))
    for method, path in operations(bob):
        if method == "GET" and "{" not in path and path.startswith("/v1/") and path not in EVERYBODYS_LISTS:
            assert any(what in ann.get(path).text for what in astuple(anns)), path
            assert not any(what in bob.get(path).text for what in astuple(anns)), path
    for query in ({"batch_id": anns.batch}, {"subject": anns.prediction}):
        where = "/v1/predictions" if "batch_id" in query else "/v1/webhook-deliveries"
        assert bob.get(where, params=query).json()["results"] == []


def test_another_owners_file_or_idempotency_key_has_no_effect(
    ann: httpx.Client, bob: httpx.Client, anns: Things, scan: bytes
) -> None:
    body = {"input": {"image": f"{ann.base_url}/v1/files/{anns.file}"}}
    assert ann.post("/v1/predictions", json=body).status_code == 202
    expect_problem(bob.post("/v1/predictions", json=body), 404, "unknown-file")
    headers = {"Idempotency-Key": new_uuid7()}
    first, second = (
        client.post("/v1/predictions", json={"input": {"image": data_url(renewed(scan))}}, headers=headers)
        for client in (ann, bob)
    )
    assert first.status_code == second.status_code == 202
    assert first.json()["id"] != second.json()["id"]


def test_a_cached_image_of_another_owner_cannot_be_detected(ann: httpx.Client, bob: httpx.Client, scan: bytes) -> None:
    image = renewed(scan)
    assert [predicted(ann, image)["source"] for _ in range(2)] == ["model", "cache"]
    assert [predicted(bob, image)["source"] for _ in range(2)] == ["model", "cache"]


def test_a_streams_token_opens_only_that_stream(closed: ClosedGateway, ann: httpx.Client, anns: Things) -> None:
    stream = ann.get(f"/v1/predictions/{anns.prediction}").json()["urls"]["stream"]
    batch_stream = ann.get(f"/v1/batches/{anns.batch}").json()["urls"]["stream"]
    query = stream.partition("?")[2]
    with closed.client() as nobody:
        assert "event: done" in nobody.get(stream).text
        assert "event: done" in nobody.get(batch_stream).text
        for path in (
            f"/v1/predictions/{anns.prediction}",
            f"/v1/batches/{anns.batch}/stream",
            f"/v1/predictions/{new_uuid7()}/stream",
            "/v1/predictions",
        ):
            assert nobody.get(f"{path}?{query}").status_code == 401, path
        assert nobody.post(f"/v1/predictions/{anns.prediction}/cancel?{query}").status_code == 401


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        (
            "read",
            [("GET", "/v1/predictions"), ("GET", "/v1/models")],
            [
                ("POST", "/v1/predictions"), ("POST", "/v1/batches"), ("POST", "/v1/files"), ("GET", "/metrics"),
                ("GET", "/v1/webhooks/default/secret"), ("POST", f"/v1/predictions/{new_uuid7()}/cancel"),
                ("DELETE", f"/v1/files/{new_uuid7()}"),
            ],
        ),
        (
            "submit",
            [("POST", "/v1/predictions"), ("GET", "/v1/webhooks/default/secret"), ("GET", "/v1/batches")],
            [("POST", "/v1/webhooks/default/secret/rotate"), ("GET", "/metrics")],
        ),
        ("admin", [("POST", "/v1/webhooks/default/secret/rotate"), ("GET", "/metrics"), ("POST", "/v1/files")], []),
    ],
)  # fmt: skip
def test_a_role_permits_exactly_its_operations(
    closed: ClosedGateway, role: str, may: list[tuple[str, str]], may_not: list[tuple[str, str]]
) -> None:
    with closed.client(closed.key(f"role-{role}", "--role", role)) as client:
        for method, path in may:
            assert ask(client, method, path).status_code not in (401, 403), path
        for method, path in may_not:
            problem = expect_problem(ask(client, method, path), 403, "forbidden")
            assert f"this one's is {role}" in problem["detail"]


def test_a_key_works_at_once_and_stops_within_5_s_of_its_revocation(closed: ClosedGateway) -> None:
    key = closed.key("carol")
    with closed.client(key) as carol:
        assert carol.get("/v1/predictions").status_code == 200
        listed = closed.stack.darkroom("keys", "list").stdout
        [line] = [line for line in listed.splitlines() if " carol " in line]
        assert line.startswith(f"{key[:9]}…")
        assert key not in listed
        engine = make_engine(Database(url=closed.stack.url_of("postgres")))
        with engine.connect() as connection:
            kept = connection.execute(text("SELECT api_keys::text FROM api_keys WHERE owner = 'carol'")).scalar_one()
        engine.dispose()
        assert key not in kept
        said = closed.stack.darkroom("keys", "revoke", f"{key[:9]}…").stdout
        assert said == f"Revoked {key[:9]}… of carol: it stops within 5 s.\n"
        until(lambda: carol.get("/v1/predictions").status_code == 401, what="it stops")
    assert " revoked 2" in closed.stack.darkroom("keys", "list").stdout
    assert "No key begins with dk_nothing" in closed.stack.darkroom("keys", "revoke", "dk_nothing", expect=1).stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["Ann"], "a name has 1 to 63 of"),
        (["a", "--rate", "fast"], "images a second"),
        (["a", "--rate", "0/s"], "images a second"),
        (["a", "--max-inflight", "0"], "greater than or equal to"),
        (["a", "--role", "root"], "'submit', 'admin'"),
    ],
)
def test_an_invalid_key_request_is_refused_with_a_reason(stack: "Stack", arguments: list[str], says: str) -> None:
    assert says in " ".join(stack.darkroom("keys", "create", *arguments, expect=2).stderr.split())


def test_images_over_a_keys_rate_are_refused_with_retry_after(closed: ClosedGateway, scan: bytes) -> None:
    with closed.client(closed.key("rated", "--rate", "2/s")) as client:

        def send() -> httpx.Response:
            return client.post("/v1/predictions", content=renewed(scan), headers=PNG)

        answers = [send(), send()]
        assert [answer.status_code for answer in answers] == [202, 202]
        assert answers[0].headers["RateLimit-Policy"] == '"images";q=2;w=1'
        assert answers[0].headers["RateLimit"] == '"images";r=1;t=1'
        refused = until_refused(send)
        problem = expect_problem(refused, 429, "rate-limited")
        assert (problem["detail"], problem["limit"]) == ("this key allows 2 images a second", "rate")
        assert refused.headers["RateLimit"].startswith('"images";r=0;t=')
        time.sleep(int(refused.headers["Retry-After"]))
        assert send().status_code == 202
        # What is no image counts not at all, what is stored counts likewise.
        assert client.get("/v1/predictions").status_code == 200
        refused = until_refused(lambda: client.post("/v1/files", files={"content": ("1.png", scan)}))
        assert "RateLimit" in refused.headers


def until_refused(send: Callable[[], httpx.Response]) -> httpx.Response:
    """Send, more often in a second than is allowed, and return the first answer that says so."""
    return next(answer for answer in iter(send, None) if answer.status_code == 429)


def test_images_over_a_keys_unfinished_limit_are_refused_until_some_end(
    closed: ClosedGateway, scan: bytes, door: Any
) -> None:
    with closed.client(closed.key("patient", "--max-inflight", "3")) as client, door.workers_stopped():
        answers = [client.post("/v1/predictions", content=renewed(scan), headers=PNG) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [202, 202, 202, 429, 429]
        assert answers[1].headers["RateLimit"] == '"unfinished";r=1'
        problem = expect_problem(answers[4], 429, "rate-limited")
        assert (problem["limit"], answers[4].headers["Retry-After"]) == ("unfinished", "1")
        client.post(f"/v1/predictions/{answers[0].json()['id']}/cancel")
        assert client.post("/v1/predictions", content=renewed(scan), headers=PNG).status_code == 202


@pytest.mark.parametrize("option", [("--rate", "20/s"), ("--max-inflight", "7")])
def test_a_bulk_upload_over_its_keys_limits_is_slowed_down(
    closed: ClosedGateway, scan: bytes, option: tuple[str, str]
) -> None:
    with closed.client(closed.key("bulky", *option)) as client:
        batch = accepted(send_images(client, [(f"{number}.png", renewed(scan)) for number in range(30)]))["id"]
        ended(client, batch)
        assert [line["status"] for line in results(client, batch)] == ["succeeded"] * 30


def test_the_gateway_refuses_to_start_without_keys_on_a_public_address(stack: "Stack") -> None:
    done = GatewayByHand(stack, DARKROOM_SERVER_HOST="0.0.0.0", DARKROOM_AUTH_REQUIRED="false").run()  # noqa: S104
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "DARKROOM_AUTH_REQUIRED is false and the API is to listen on 0.0.0.0" in said
    assert "Traceback" not in said


def test_without_keys_only_this_machine_is_served(stack: "Stack", closed: ClosedGateway) -> None:
    with httpx.Client(base_url=stack.url, trust_env=False) as client:
        assert client.get("/v1/predictions").status_code == 200
        # A page of the web may have its own name resolved to this machine.
        for path in ("/v1/predictions", "/health/ready", "/docs"):
            expect_problem(client.get(path, headers={"Host": "evil.example"}), 403, "forbidden")
        for host in ("localhost:8000", "[::1]:8000", "127.0.0.1"):
            assert client.get("/v1/predictions", headers={"Host": host}).status_code == 200
        # A proxy on this machine may forward requests of others.
        forwarded = {"X-Forwarded-For": "127.0.0.1, 203.0.113.7"}
        expect_problem(client.get("/v1/predictions", headers=forwarded), 401, "unauthorized")
        assert client.get("/v1/predictions", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 200
        # Another bearer token is ignored; a key acts for its owner or is refused.
        assert client.get("/v1/predictions", headers={"Authorization": "Bearer any"}).status_code == 200
        key = {"Authorization": f"Bearer {closed.key('dora', '--role', 'read')}"}
        assert client.get("/v1/predictions", headers=key).json()["results"] == []
        expect_problem(client.post("/v1/predictions", headers=key), 403, "forbidden")
        unknown = {"Authorization": f"Bearer dk_{'z' * 43}"}
        expect_problem(client.get("/v1/predictions", headers=unknown), 401, "unauthorized")
