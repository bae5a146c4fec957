from visionkit.finding.batch_size import NO_MEMORY, Measured, as_rows, draw, search

HOW = {"low": 2, "high": 512, "memory": 0.8, "slack": 0.05}


def device(kind, base, each, room, fastest=1000.0, half=8, pictures=10**6):
    """A machine whose memory grows by ``each`` a picture, and whose speed levels off."""
    asked = []

    def measure(size):
        asked.append(size)
        if size > pictures:
            return Measured(size, why=f"the train split has only {pictures} pictures")
        memory = base + each * size
        if memory > room:
            return Measured(size, device=kind, why=NO_MEMORY)
        speed = fastest * size / (size + half)
        return Measured(size, memory, size / speed, room, kind)

    return measure, asked


def found(measure, **changes):
    told = []
    chosen, measured = search(measure, HOW | changes, told.append)
    return chosen, measured, told


def test_on_a_gpu_the_largest_that_memory_takes():
    measure, asked = device("cuda", base=1000, each=100, room=10_000)
    chosen, measured, told = found(measure)
    # 0.8 of the room is for 70 pictures: 64 fits, and no quarter more does
    assert chosen == 64
    assert asked == [2, 4, 8, 16, 32, 64]
    assert told[-1] == "batch 128: left out, as it would take more memory than is allowed"
    assert [m.size for m in measured] == asked


def test_on_a_gpu_sizes_between_two_powers_are_taken():
    measure, asked = device("cuda", base=1000, each=100, room=13_000)
    chosen, _, _ = found(measure)
    assert chosen == 80
    assert asked[-1] == 80
    assert found(measure, high=64)[0] == 64


def test_on_a_gpu_a_size_that_memory_does_not_take_ends_the_search():
    measure, _ = device("cuda", base=0, each=1, room=100)
    assert found(measure, memory=1.0)[0] == 96
    # a jump in what it takes, such as of another algorithm, isn't foreseen
    steps = [Measured(2, 10, 1.0, 100, "cuda"), Measured(4, device="cuda", why=NO_MEMORY)]
    chosen, measured, told = found(lambda _: steps.pop(0))
    assert chosen == 2
    assert measured[-1].why == NO_MEMORY
    assert told[-1] == f"batch 4: {NO_MEMORY}"


def test_on_a_processor_the_smallest_that_is_about_as_fast_as_any():
    measure, asked = device("cpu", base=1000, each=1, room=10**9, half=2)
    chosen, measured, _ = found(measure)
    best = max(m.speed for m in measured)
    assert chosen == min(m.size for m in measured if m.speed >= 0.95 * best)
    # two sizes that bring nothing end it
    assert asked[-1] <= 256


def test_a_small_set_ends_the_search():
    measure, _ = device("cuda", base=0, each=1, room=10**9, pictures=20)
    chosen, measured, _ = found(measure)
    assert chosen == 16
    assert measured[-1].why == "the train split has only 20 pictures"


def test_where_nothing_fits_there_is_no_size():
    measure, _ = device("cuda", base=99, each=1, room=100)
    chosen, measured, _ = found(measure)
    assert chosen is None
    rows = as_rows(measured)
    assert rows[0]["seconds"] is None
    assert rows[0]["why"] == NO_MEMORY


def test_the_plot(tmp_path):
    measure, _ = device("cuda", base=1000, each=100, room=10_000)
    chosen, measured, _ = found(measure)
    draw(tmp_path / "a.png", measured, chosen, 0.8)
    draw(tmp_path / "b.png", [Measured(2, 10, 1.0)], 2, 0.8)
    assert (tmp_path / "a.png").stat().st_size > 5000
