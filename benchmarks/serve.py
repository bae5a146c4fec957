"""The service under load: good and bad requests all at once, then throughput by batch size.

    python benchmarks/serve.py checkpoint=model.onnx source=DIR [requests=200 clients=16 rounds=3]

For each batch size a service is started, as `visionkit serve` does. First all requests are sent at
once, every other one bad in one of seven ways: each must get the code that it should. Then clients
send pictures of the folder, each the next one as soon as the last is answered, to one service after
the other in rounds; figures are medians over the rounds. Clients and service share the machine.
Other words, such as threads=2, are handed to the service.
"""

import contextlib
import http.client
import json
import os
import statistics
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

SIZES = (1, 8)
OWN = {"source": ".", "requests": "200", "clients": "16", "rounds": "3"}

Wanted = tuple[bytes, str, int]


def ask(port: int, body: bytes | None, path: str) -> tuple[int, dict[str, object], float]:
    """Send a request of its own connection; the code, the answer and the seconds."""
    start = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    with contextlib.closing(connection):
        connection.request("GET" if body is None else "POST", path, body)
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read()), time.perf_counter() - start


@contextlib.contextmanager
def service(words: list[str]) -> Iterator[int]:
    """Start a service on a free port, and stop it."""
    command = [sys.executable, "-m", "visionkit", "serve", "port=0", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit(process.wait())
        yield int(line.split("/")[2].rpartition(":")[2])
    finally:
        process.terminate()
        process.wait()


def bomb(side: int) -> bytes:
    """A PNG file of a few bytes whose header states ``side`` by ``side`` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")


def bad_requests(good: bytes) -> list[Wanted]:
    """Bodies, queries, and the codes that they should get."""
    return [
        (b"", "", 400),
        (b"no picture", "", 415),
        (b"<html></html>", "", 415),
        (good[: len(good) // 2], "", 422),
        (bytes(17 << 20), "", 413),
        (bomb(50_000), "", 413),
        (good, "?confidence=2", 422),
    ]


def storm(port: int, pictures: list[bytes], count: int) -> tuple[int, Counter[int], float]:
    """Send all at once; how many got another code than they should, the codes, and the seconds."""
    bad, good = cycle(bad_requests(pictures[0])), cycle(pictures)
    wanted = [next(bad) if n % 2 else (next(good), "", 200) for n in range(count)]
    start = time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        replies = list(pool.map(lambda w: ask(port, w[0], f"/predict{w[1]}"), wanted))
    seconds = time.perf_counter() - start
    codes = [code for code, _, _ in replies]
    wrong = sum(code != w[2] for code, w in zip(codes, wanted, strict=True))
    return wrong, Counter(codes), seconds


def throughput(port: int, pictures: list[bytes], count: int, clients: int) -> list[float]:
    """Send pictures from some clients at a time; requests/s, and median and p95 of ms."""
    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        bodies = islice(cycle(pictures), count)
        replies = list(pool.map(lambda body: ask(port, body, "/predict"), bodies))
    seconds = time.perf_counter() - start
    assert {code for code, _, _ in replies} == {200}
    times = sorted(1000 * t for _, _, t in replies)
    return [count / seconds, statistics.median(times), times[int(0.95 * len(times))]]


def worked(port: int) -> tuple[float, float]:
    """Pictures that a service has computed, and in how many batches."""
    state = ask(port, None, "/health")[1]
    return float(str(state["computed"])), float(str(state["batches"]))


def main() -> None:
    """Run both and print them."""
    words = dict(word.split("=", 1) for word in sys.argv[1:])
    own = {key: words.pop(key, value) for key, value in OWN.items()}
    files = [f for f in sorted(Path(own["source"]).iterdir()) if f.suffix in (".jpg", ".png")][:64]
    pictures = [f.read_bytes() for f in files]
    count, clients = int(own["requests"]), int(own["clients"])
    handed = [f"{key}={value}" for key, value in words.items()]
    print(f"{len(pictures)} pictures of {own['source']}, {os.cpu_count()} cores, {clients} clients")
    with contextlib.ExitStack() as stack:
        ports = [stack.enter_context(service([*handed, f"batch_size={n}"])) for n in SIZES]
        for size, port in zip(SIZES, ports, strict=True):
            wrong, codes, seconds = storm(port, pictures, count)
            told = ", ".join(f"{number} x {code}" for code, number in sorted(codes.items()))
            print(f"batch_size={size}: {count} at once, {told}; {wrong} wrong; {seconds:.1f} s")
        before = [worked(port) for port in ports]  # of the storm
        rounds: list[list[list[float]]] = [[] for _ in SIZES]
        for _ in range(int(own["rounds"])):
            for figures, port in zip(rounds, ports, strict=True):
                figures.append(throughput(port, pictures, count, clients))
        print("batch_size  requests/s  median ms  p95 ms  mean batch")
        for size, port, figures, (items, calls) in zip(SIZES, ports, rounds, before, strict=True):
            rate, median, late = (
                statistics.median(column) for column in zip(*figures, strict=True)
            )
            after = worked(port)
            mean = (after[0] - items) / (after[1] - calls)
            print(f"{size:10d} {rate:11.1f} {median:10.1f} {late:7.1f} {mean:11.2f}")


if __name__ == "__main__":
    main()
