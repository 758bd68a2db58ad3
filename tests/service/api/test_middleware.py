from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.service.serving import Samples, samples, total

COUNT = "shoal_request_duration_seconds_count"


class Growth:
    """How much metrics grew since this was made."""

    def __init__(self, client: TestClient) -> None:
        self._client = client
        self._before = self._now()

    def _now(self) -> Samples:
        return samples(self._client.get("/metrics").text)

    def of(self, name: str, **labels: str) -> float:
        return total(self._now(), name, **labels) - total(self._before, name, **labels)

    def new(self, name: str) -> set[tuple[tuple[str, str], ...]]:
        return {labels for own, labels in self._now() if own == name} - {
            labels for own, labels in self._before if own == name
        }


@pytest.fixture
def growth(client: TestClient) -> Growth:
    return Growth(client)


# --- Request metrics -------------------------------------------------------------------------------------------------


def test_requests_are_counted_by_route_and_status(client: TestClient, growth: Growth) -> None:
    client.post("/v1/classify", json={"inputs": "good"})
    client.post("/v1/classify", json={"inputs": "good"})
    client.post("/v1/classify", json={"inputs": ""})
    client.post("/v1/classify", json={"inputs": "poison"})
    assert growth.of(COUNT, route="/v1/classify", status="200") == 2
    assert growth.of(COUNT, route="/v1/classify", status="422") == 1
    assert growth.of(COUNT, route="/v1/classify", status="500") == 1
    assert growth.of("shoal_request_duration_seconds_bucket", route="/v1/classify", status="200", le="+Inf") == 2
    assert growth.of("shoal_request_duration_seconds_sum", route="/v1/classify", status="200") > 0


def test_paths_that_nobody_serves_share_one_label(client: TestClient, growth: Growth) -> None:
    for number in range(20):
        client.get(f"/none/{number}")
        client.post(f"/v1/{number}", json={})
        client.get(f"/docs-files/{number}")
    assert growth.of(COUNT, route="unmatched", status="404") == 60
    assert len(growth.new(COUNT)) <= 1


def test_what_clients_send_never_becomes_a_label(client: TestClient) -> None:
    marks = ["mark" + letter * 20 for letter in "abcd"]
    client.get(f"/{marks[0]}?{marks[1]}={marks[1]}", headers={marks[2]: marks[2]})
    client.post("/v1/classify", json={"inputs": marks[3], "model": marks[0], marks[1]: 1})
    client.post("/v1/classify", json={"inputs": marks[3], "model": marks[0]})
    client.request("MARKMETHOD", "/v1/classify")
    text = client.get("/metrics").text
    assert "mark" not in text.lower()


def test_labels_are_the_bounded_ones_only(client: TestClient) -> None:
    ours = [labels for name, labels in samples(client.get("/metrics").text) if name.startswith("shoal_")]
    assert {name for labels in ours for name, _ in labels} <= {"route", "status", "model", "reason", "le"}


def test_a_fault_is_counted_as_a_500(app_with_fault: TestClient) -> None:
    growth = Growth(app_with_fault)
    assert app_with_fault.get("/fault").status_code == 500
    assert growth.of(COUNT, status="500") == 1
    assert growth.of(COUNT, status="499") == 0
    assert growth.of("shoal_refusals_total", reason="Internal") == 1


@pytest.fixture
def app_with_fault(client: TestClient) -> Iterator[TestClient]:
    """The toys' app and a route that raises."""
    app = client.app

    async def fault() -> None:
        raise RuntimeError("a fault")

    app.add_api_route("/fault", fault)  # type: ignore[attr-defined]
    yield client
    app.router.routes.pop()  # type: ignore[attr-defined]


def test_requests_in_flight_go_back_to_what_they_were(client: TestClient) -> None:
    client.post("/v1/classify", json={"inputs": "good"})
    assert total(samples(client.get("/metrics").text), "shoal_requests_in_flight") == 1, "the scrape itself"


# --- HEAD, and a slash at the end ------------------------------------------------------------------------------------

GETS = [
    "/health",
    "/health/live",
    "/health/ready",
    "/v1/models",
    "/docs",
    "/openapi.json",
    "/docs-files/swagger-ui.css",
]


@pytest.mark.parametrize("path", [*GETS, "/metrics"])
def test_head_is_answered_as_get_without_a_body(client: TestClient, path: str) -> None:
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    if path != "/metrics":  # which has grown between the two
        assert head.headers["content-length"] == got.headers["content-length"] == str(len(got.content))


def test_head_is_answered_where_get_is_not_as_get_is(client: TestClient) -> None:
    assert client.head("/v1/classify").status_code == 405
    assert client.head("/none").status_code == 404


@pytest.mark.parametrize("path", GETS)
def test_a_slash_at_the_end_is_the_same_path(client: TestClient, path: str, growth: Growth) -> None:
    with_slash = client.get(f"{path}/", follow_redirects=False)
    assert (with_slash.status_code, with_slash.content) == (200, client.get(path).content)
    assert growth.of(COUNT, route="unmatched", status="404") == 0


@pytest.mark.parametrize("route", ["classify", "summarize"])
def test_a_slash_at_the_end_of_an_inference_route(client: TestClient, growth: Growth, route: str) -> None:
    bare, with_slash = (
        client.post(f"/v1/{route}{end}", json={"inputs": "good"}, follow_redirects=False) for end in ("", "/")
    )
    assert (with_slash.status_code, with_slash.content) == (200, bare.content)
    assert growth.of(COUNT, route=f"/v1/{route}", status="200") == 2
    assert client.get(f"/v1/{route}/").status_code == 405


def test_a_slash_that_makes_no_path_of_ours_is_not_found(client: TestClient) -> None:
    for path in ("/", "//", "/v1/classify//", "/v1/"):
        assert client.get(path, follow_redirects=False).status_code == 404
