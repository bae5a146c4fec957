"""What a service holds, and whom it answers."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from serving import Bright, Flat, encoded, picture, serving, until

from visionkit.errors import ConfigError
from visionkit.serve.command import bound


def test_a_place_is_free_only_when_no_thread_has_the_picture():
    bright = Bright()
    with serving(bright, batch_size=1, timeout=0.3) as ask:
        places = ask.service._open
        bright.gate.clear()
        with ThreadPoolExecutor(3) as pool:
            late = [pool.submit(ask.predict, encoded(picture())) for _ in range(3)]
        assert {reply.result().status for reply in late} == {504}
        assert len(ask.service._batcher) == 0  # nothing is held of what nobody waits for
        until(lambda: places._value == 1)
        assert ask.service.requests == 0
        bright.gate.set()
        until(lambda: places._value == 2)
        assert ask.predict(encoded(picture())).status == 200
    assert bright.sizes == [1, 1]


def test_a_failure_at_making_pictures_is_the_service_s(monkeypatch, caplog):
    flat = Flat()

    def fails(z, labels, truncation):
        raise ValueError("shapes differ")

    with serving(flat) as ask:
        monkeypatch.setattr(flat, "make", fails)
        refused = ask("GET", "/sample?label=sun")
        reply = ask("GET", "/sample")
        until(lambda: "shapes differ" in caplog.text)
    assert refused.status == 422
    assert (reply.status, "shapes differ" in reply.error) == (500, False)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("example.org:8000", 421),
        ("127.0.0.1.example.org", 421),
        ("192.168.1.2", 421),
    ],
)
def test_a_service_of_this_machine_answers_to_its_names_alone(host, status):
    with serving(Bright(), local=True) as ask:
        replies = [ask("GET", path, headers={"Host": host}) for path in ("/", "/info")]
    assert [reply.status for reply in replies] == [status] * 2


def test_what_is_no_name_of_a_host():
    with pytest.raises(ConfigError, match=r"host: there is no 'a\.\.b' \(it isn't the name"):
        bound("a..b", 0)
