"""Who is answered: the page itself, and nobody else."""

import random
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from identbox.explore.desk import Desk
from identbox.explore.samples import DatasetView
from identbox.explore.server import explorer
from made_explorer import TOKEN, request


@pytest.fixture(scope="module")
def client(desk: Desk) -> TestClient:
    return TestClient(explorer(desk, TOKEN), base_url="http://127.0.0.1:8765", raise_server_exceptions=False)


def test_the_page_itself_is_answered(client: TestClient):
    for path in ("", "info.json", "static/main.js", "data/0/images/0.png", "data/0/sentences/0.json"):
        answer = client.get(f"/{TOKEN}/{path}")
        assert answer.status_code == 200, path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("host", ["localhost:9", "127.0.0.1", "[::1]:8765", "LOCALHOST:1"])
def test_names_of_the_loopback_address_are_hosts(client: TestClient, host: str):
    assert client.get(f"/{TOKEN}/info.json", headers={"Host": host}).status_code == 200


def hostile() -> list[tuple[str, str, dict[str, str], bytes]]:
    """Two hundred requests that nobody of the page would send: method, path, headers, body."""
    # fmt: off
    found: list[tuple[str, str, dict[str, str], bytes]] = []
    hosts = ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8765", "127.0.0.2", "0.0.0.0:8765", "",
             "127.0.0.1:8765@evil.example", "evil.example#127.0.0.1", "2130706433", "0x7f000001", "localhost:8765:1",
             "localhost:999999", " localhost", "[::ffff:127.0.0.1]", "[::]"]
    found += [("GET", f"/{TOKEN}/info.json", {"Host": host}, b"") for host in hosts]
    origins = ["http://evil.example", "null", "https://127.0.0.1:8765", "http://127.0.0.1:8766", "http://localhost:8765",
               "http://127.0.0.1:8765.evil.example", "file://", "chrome-extension://abc", "http://127.0.0.1:8765/"]
    found += [("GET", f"/{TOKEN}/info.json", {"Origin": origin}, b"") for origin in origins]
    found += [
        ("POST", f"/{TOKEN}/data/0/search", {"Origin": o, "Content-Type": "application/json"}, b"{}")
        for o in origins
    ]
    for site in ("cross-site", "same-site"):
        for path in ("info.json", "static/main.js", "data/0/images/0.png"):
            found.append(
                ("GET", f"/{TOKEN}/{path}", {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}, b"")
            )
    tokens = [
        "",
        "x",
        TOKEN[:-1],
        TOKEN + "x",
        TOKEN.upper(),
        "static",
        "..",
        "%00",
        "é" * 5,
        "undefined",
        "*",
        TOKEN[::-1],
    ]
    found += [
        ("GET", f"/{token}/{path}", {}, b"")
        for token in tokens
        for path in ("", "info.json", "data/0/images/0.png")
    ]
    found += [
        ("GET", path, {}, b"")
        for path in ("/", "//", f"//{TOKEN}/info.json", f"/x/../{TOKEN}/info.json", f"/{TOKEN}")
    ]
    climbs = ["../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "....//....//etc/passwd",
              "..%5c..%5cwindows", "%252e%252e%252fetc%252fpasswd", "dataset.toml", "../dataset.toml", "/etc/passwd",
              "%2fetc%2fpasswd", "..;/dataset.toml", "main.js%00.png", "main.js/..", ".", "..", "%c0%ae%c0%ae/x"]
    found += [
        ("GET", f"/{TOKEN}/{place}{climb}", {}, b"")
        for climb in climbs
        for place in ("static/", "data/0/images/", "")
    ]
    numbers = ["-1.png", "99999.png", "1e3.png", "0x1.png", "0", "1.jpg", "0.png.png", "0000000000000000001x.png",
               "9" * 400 + ".png", "٣٣٣.png", "1 .png", "+1.png", "..png"]
    found += [("GET", f"/{TOKEN}/data/0/images/{number}", {}, b"") for number in numbers]
    places = ["99/columns/0.f64", "0/columns/99.f64", "-1/columns/0.f64", "0/sentences/99.json", "0/sentences/-1.json",
              "99/dependence.json", "0/records/9999.json", "train/images/0.png", "0/../0/columns/0.f64"]
    found += [("GET", f"/{TOKEN}/data/{place}", {}, b"") for place in places]
    methods = ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "FOO"]
    found += [(method, f"/{TOKEN}/info.json", {}, b"") for method in methods]
    search, plain = f"/{TOKEN}/data/0/search", {"Content-Type": "application/json"}
    found += [("POST", search, {"Content-Type": kind}, b"{}")
              for kind in ("text/plain", "", "multipart/form-data; boundary=x",
              "application/x-www-form-urlencoded", "application/jsonp")]
    bodies = [b"", b"[", b"null", b"[]", b"1", b'"x"', b"{" * 10_000, b"[" * 60_000, b"\xff\xfe", b"NaN", b"x" * 70_000,
              b'{"words": ' + b'"' + b"a" * 65_600 + b'"}']
    found += [("POST", search, plain, body) for body in bodies]
    found += [("POST", f"/{TOKEN}/info.json", plain, b"{}"), ("GET", search, {}, b"")]
    # fmt: on
    rng = random.Random(0)
    while len(found) < 230:
        noise = "".join(chr(rng.choice([*range(33, 127)])) for _ in range(rng.randint(1, 60)))
        noise = noise.replace("#", "").replace("?", "")
        found.append(("GET", f"/{TOKEN}/{noise}", {}, b""))
    return found


def test_two_hundred_hostile_requests_get_nothing(desk: Desk, squares: Path):
    app = explorer(desk, TOKEN)
    secrets = [(squares / "dataset.toml").read_bytes()[:40], b"root:", b"Traceback"]
    requests = hostile()
    assert len(requests) >= 200
    for method, target, headers, body in requests:
        answer = request(app, method, target, headers, body)
        assert 400 <= answer.status < 500, (method, target, headers, body[:20], answer.status)
        assert not any(secret in answer.body for secret in secrets), (method, target)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert request(app, "GET", f"/{TOKEN}/info.json", {}).status == 200  # it still answers


def test_a_longer_body_than_it_said_is_not_read(client: TestClient):
    def parts():
        for _ in range(100):
            yield b"[" * 10_000

    headers = {"Content-Type": "application/json"}
    assert client.post(f"/{TOKEN}/data/0/search", content=parts(), headers=headers).status_code == 413


def test_what_a_stranger_wrote_is_a_text_in_every_answer(tmp_path: Path):
    import drawn_folder

    markup = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    folder = drawn_folder.make(tmp_path / "<b>data", {"train": 3})
    (folder / "train" / "text" / "text_raw.txt").write_text("\n".join([markup] * 3))
    rows = (folder / "train" / "latents_image.csv").read_text().replace("image_number", "<i>x</i>")
    (folder / "train" / "latents_image.csv").write_text(rows)
    client = TestClient(
        explorer(Desk(dataset=DatasetView(folder), title=folder.name), TOKEN), base_url="http://127.0.0.1:1"
    )
    page = client.get(f"/{TOKEN}/")
    assert "<b>data" not in page.text
    assert "&lt;b&gt;data" in page.text
    for path in ("info.json", "data/0/sentences/0.json", "data/0/dependence.json"):
        answer = client.get(f"/{TOKEN}/{path}")
        assert answer.headers["content-type"] == "application/json"
        assert answer.status_code == 200


def test_no_path_leads_out_of_the_dataset_by_a_link(tmp_path: Path):
    import drawn_folder

    folder = drawn_folder.make(tmp_path / "data", {"train": 3})
    secret = tmp_path / "secret"
    secret.write_text("a secret")
    image = folder / "train" / "images" / "1.png"
    image.unlink()
    image.symlink_to(secret)
    client = TestClient(
        explorer(Desk(dataset=DatasetView(folder), title="x"), TOKEN), base_url="http://127.0.0.1:1"
    )
    assert client.get(f"/{TOKEN}/data/0/images/0.png").status_code == 200
    answer = client.get(f"/{TOKEN}/data/0/images/1.png")
    assert answer.status_code == 400
    assert b"a secret" not in answer.content
