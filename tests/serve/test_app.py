"""The service over HTTP."""

import base64
import io
import socket
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image as Pillow
from serving import BOX, Bright, Flat, Inverts, Shades, encoded, picture, png_header, serving, until

from visionkit.errors import ConfigError
from visionkit.predictor import Predictor


@pytest.fixture
def bright():
    return Bright()


@pytest.fixture
def ask(bright):
    with serving(bright, max_bytes=1 << 18, max_pixels=1_000_000) as asker:
        yield asker


def test_an_answer_is_what_the_predictor_says(ask):
    image = picture((10, 12, 90, 57), (120, 100))
    reply = ask.predict(encoded(image))
    (expected,) = Predictor(Bright()).predict(image)
    assert reply.status == 200
    assert ((told := reply.json)["width"], told["height"]) == (100, 120)
    assert {k: told[k] for k in ("boxes", "scores", "labels", "names")} == expected.to_dict()
    assert told["names"] == ["lamp"]
    assert 0 < told["seconds"] < 20


def test_options_hold_for_their_request_only(ask, bright):
    data = encoded(picture())
    assert ask.predict(data, "?confidence=0.9&max_detections=3").json["boxes"] == []
    assert ask.predict(data).json["boxes"] == [list(BOX)]
    wanted, usual = bright.seen
    assert (wanted.confidence, wanted.max_detections, wanted.iou) == (0.9, 3, 0.7)
    assert usual == Bright.options


def test_a_drawn_picture(ask):
    reply = ask.predict(encoded(picture()), "?format=image")
    assert reply.headers["content-type"] == "image/jpeg"
    drawn = np.asarray(Pillow.open(io.BytesIO(reply.body)))
    assert drawn.shape == (64, 128, 3)
    assert np.ptp(drawn[40, BOX[0] - 2 : BOX[0] + 2].astype(int), axis=1).max() > 50  # in colour


def test_a_mask_comes_as_indices():
    image = np.full((40, 60), 125, np.uint8)
    image[:10], image[30:] = 20, 230
    with serving(Shades()) as ask:
        told = ask.predict(encoded(image)).json
        reply = ask.predict(encoded(image), "?format=png")
    inside = base64.b64decode(told["png"].removeprefix("data:image/png;base64,"))
    expected = np.array([0, 255, 255, 1], np.uint8).repeat(10)[:, None].repeat(60, 1)
    for data in (inside, reply.body):
        mask = Pillow.open(io.BytesIO(data))
        assert mask.mode == "P"
        np.testing.assert_array_equal(np.asarray(mask), expected)
    assert told["shares"] == [0.25, 0.25]


def test_a_picture_that_was_made_of_one():
    image = np.full((64, 64, 3), 30, np.uint8)
    with serving(Inverts()) as ask:
        made = ask.predict(encoded(image), "?format=png")
        side_by_side = ask.predict(encoded(image), "?format=image")
    np.testing.assert_array_equal(np.asarray(Pillow.open(io.BytesIO(made.body))), 255 - image)
    assert Pillow.open(io.BytesIO(side_by_side.body)).width > 128


def test_pictures_from_noise():
    with serving(Flat(), batch_size=4) as ask:
        told = ask("GET", "/sample?n=3&seed=5").json
        grid = ask("GET", "/sample?n=6&format=image")
        one = ask("GET", "/sample?seed=1&label=lamp&truncation=0.5&format=png").body
        refused = [ask("GET", f"/sample?{q}") for q in ("n=0", "n=65", "seed=-1", "label=sun")]
        refused.append(ask("GET", "/sample?truncation=7"))
        wrong = ask.predict(encoded(picture()))
    assert [p["label"] for p in told["pictures"]] == [1, 0, 1]  # each in turn
    assert [p["seed"] for p in told["pictures"]] == [5, 6, 7]
    assert grid.headers["content-type"] == "image/png"
    assert Pillow.open(io.BytesIO(grid.body)).width > 8
    np.testing.assert_array_equal(np.asarray(Pillow.open(io.BytesIO(one))), 50)
    assert {r.status for r in refused} == {422}
    assert "sun" in refused[3].error
    assert (wrong.status, "GET /sample" in wrong.error) == (409, True)


def test_a_model_for_pictures_makes_none(ask):
    assert ask("GET", "/sample").status == 409


BAD = {
    "empty": (b"", "", 400, "empty"),
    "text": (b"hello", "", 415, "isn't a picture"),
    "page": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "", 415, "isn't a picture"),
    "cut": (encoded(picture(), ".jpg")[:-300], "", 422, "truncated"),
    "large": (b"\x89PNG" + bytes(1 << 18), "", 413, "larger than 0.25 MB"),
    "bomb": (png_header(30_000, 30_000), "", 413, "more than 1 million pixels"),
    "range": (encoded(picture()), "?confidence=2", 422, "confidence: must be between 0 and 1"),
    "word": (encoded(picture()), "?iou=much", 422, "iou: "),
    "nan": (encoded(picture()), "?confidence=nan", 422, "confidence"),
    "key": (encoded(picture()), "?confidense=1", 422, "did you mean 'confidence'"),
    "format": (encoded(picture()), "?format=gif", 422, "format: "),
    "no mask": (encoded(picture()), "?format=png", 422, "no pictures"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_told_why(ask, name):
    body, query, status, words = BAD[name]
    reply = ask.predict(body, query)
    assert reply.status == status
    assert words in reply.error
    assert ask.predict(encoded(picture())).status == 200


def test_what_the_model_cannot_follow(ask, bright, monkeypatch):
    def refuse(options):
        if options.iou != 0.7:
            raise ConfigError("predict.iou: 0.7 is built in; export again with predict.iou=0.5")

    monkeypatch.setattr(bright, "check_options", refuse)
    reply = ask.predict(encoded(picture()), "?iou=0.5")
    assert (reply.status, reply.error[:27]) == (422, "predict.iou: 0.7 is built i")
    assert bright.sizes == []


def test_a_form_is_told_what_is_wanted(ask):
    reply = ask("POST", "/predict", b"--x", {"Content-Type": "multipart/form-data; boundary=x"})
    assert reply.status == 415
    assert "--data-binary" in reply.error


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("GET", "/predict", 405)]
)
def test_other_paths_are_told_too(ask, method, path, status):
    reply = ask(method, path)
    assert reply.status == status
    assert f"{method} {path}: " in reply.error


def test_two_hundred_at_once_good_and_bad(ask, bright):
    good = encoded(picture())
    bad = [(body, query, status) for body, query, status, _ in BAD.values()]
    wanted = [bad[n % len(bad)] if n % 2 else (good, "", 200) for n in range(200)]
    with ThreadPoolExecutor(200) as pool:
        replies = list(pool.map(lambda w: ask.predict(*w[:2]), wanted))
    assert [r.status for r in replies] == [w[2] for w in wanted]
    assert all(r.json["boxes"] == [list(BOX)] for r in replies if r.status == 200)
    assert all(r.error for r in replies if r.status != 200)
    assert sum(bright.sizes) == 100
    assert ask("GET", "/health").json["requests"] == 0


def test_requests_are_computed_together(bright):
    with serving(bright, batch_size=4, max_wait=0.0) as ask, ThreadPoolExecutor(12) as pool:
        bright.gate.clear()
        first = pool.submit(ask.predict, encoded(picture()))
        until(lambda: ask.service.state()["requests"] == 1 and not ask.service.state()["waiting"])
        others = [pool.submit(ask.predict, encoded(picture())) for _ in range(7)]
        until(lambda: ask.service.state()["waiting"] == 7)
        bright.gate.set()
        assert {r.result().status for r in (first, *others)} == {200}
    assert bright.sizes == [1, 4, 3]


def test_one_too_many_is_asked_to_come_again(bright):
    with serving(bright, queue=2) as ask, ThreadPoolExecutor(2) as pool:
        bright.gate.clear()
        busy = [pool.submit(ask.predict, encoded(picture())) for _ in range(2)]
        until(lambda: ask.service.requests == 2)
        refused = ask.predict(encoded(picture()))
        bright.gate.set()
        assert {b.result().status for b in busy} == {200}
        assert ask.predict(encoded(picture())).status == 200
    assert refused.status == 503
    assert refused.headers["retry-after"] == "1"
    assert "2 requests" in refused.error


def test_who_waits_too_long_is_told(bright):
    with serving(bright, timeout=0.5) as ask:
        bright.gate.clear()
        reply = ask.predict(encoded(picture()))
        bright.gate.set()
        assert (reply.status, reply.error[:23]) == (504, "no answer within 0.5 s;")
        assert ask.predict(encoded(picture())).status == 200


def raw(port, lines, *parts):
    """Send a request in parts, and read all that comes back."""
    head = ["POST /predict HTTP/1.1", "Host: x", "Connection: close", *lines]
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        for part in ("\r\n".join([*head, "", ""]).encode(), *parts):
            connection.sendall(part)
        data = b""
        while part := connection.recv(65536):
            data += part
        return data


def test_a_body_that_does_not_arrive(bright):
    with serving(bright, timeout=0.2) as ask:
        data = raw(ask.port, ["Content-Length: 100"], b"abc")
        assert data.startswith(b"HTTP/1.1 408 ")
        assert ask.service.requests == 0


def test_who_asks_first_need_not_send_a_large_body(ask):
    data = raw(ask.port, ["Expect: 100-continue", "Content-Length: 9999999"])
    assert data.startswith(b"HTTP/1.1 413 ")


def test_a_body_without_a_length_is_counted(ask):
    chunk = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
    data = raw(ask.port, ["Transfer-Encoding: chunked"], *[chunk] * 5, b"0\r\n\r\n")
    assert data.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("path", "status"),
    [("/predict", 413), ("/predict?iou=2", 422), ("/predict?iou=no", 422), ("/nothing", 404)],
)
def test_who_sends_much_reads_the_answer_all_the_same(ask, path, status):
    """Not so if the connection were closed while they send."""
    assert ask("POST", path, bytes(20 << 20), {"Connection": "close"}).status == status


def test_who_goes_away_leaves_nothing_behind(ask, bright, caplog):
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    with socket.create_connection(("127.0.0.1", ask.port), 20) as connection:
        connection.sendall(head + b"abc")
        until(lambda: ask.service.requests == 1)
    until(lambda: ask.service.requests == 0)
    assert ask.predict(encoded(picture())).status == 200
    assert not caplog.records


def test_a_failing_model_costs_its_own_request_only(ask, bright, monkeypatch, caplog):
    usual = bright.answer

    def fails(image, meta, options):
        if options.iou == 0.1:
            raise RuntimeError("out of memory")
        return usual(image, meta, options)

    monkeypatch.setattr(bright, "answer", fails)
    reply = ask.predict(encoded(picture()), "?iou=0.1")
    assert reply.status == 500
    assert "RuntimeError" in reply.error
    assert "out of memory" not in reply.error
    until(lambda: "out of memory" in caplog.text)
    assert ask.predict(encoded(picture())).status == 200


def test_health_and_info(ask):
    ask.predict(encoded(picture()))
    health, info = ask("GET", "/health"), ask("GET", "/info").json
    expected = {"status": "ok", "requests": 0, "waiting": 0, "computed": 1, "batches": 1}
    assert health.json == expected
    assert (info["name"], info["says"], info["canvas"]) == ("bright.onnx", "boxes", [64, 64])
    assert info["classes"] == list(Bright.classes)
    assert len(info["colours"]) == 2
    assert info["options"]["confidence"] == 0.05
    assert info["limits"]["bytes"] == 1 << 18


def test_a_stopped_service_is_not_healthy(ask):
    ask.service._batcher.close()
    assert ask("GET", "/health").status == 503


def test_other_origins_read_nothing(ask):
    origin = {"Origin": "https://example.org"}
    reply = ask("POST", "/predict", encoded(picture()), origin)
    page = ask("GET", "/", headers=origin)
    for got in (reply, page):
        assert not [name for name in got.headers if name.startswith("access-control")]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert b"http://" not in page.body.replace(b"http://www.w3.org", b"")
    assert b"https://" not in page.body


def test_its_description_is_complete(ask):
    paths = ask("GET", "/openapi.json").json["paths"]
    assert set(paths) == {"/predict", "/sample", "/health", "/info"}
    assert "image/*" in paths["/predict"]["post"]["requestBody"]["content"]
    names = {p["name"] for p in paths["/predict"]["post"]["parameters"]}
    assert names == {"confidence", "iou", "max_detections", "format"}
