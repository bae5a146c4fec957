"""A history of pictures."""

import torch

from visionkit.ops.picture_pool import PicturePool


def pictures(first, count):
    """Pictures that tell their number by every pixel."""
    return torch.arange(first, first + count).float()[:, None, None, None].expand(-1, 3, 2, 2)


def numbers(images):
    return images[:, 0, 0, 0].int().tolist()


def turn(pool, first, count):
    given = pool.exchange(pictures(first, count))
    pool.settle()
    return numbers(given)


def test_the_first_pictures_pass_and_are_kept():
    pool = PicturePool(4)
    assert turn(pool, 0, 3) == [0, 1, 2]
    assert turn(pool, 3, 1) == [3]
    assert [int(p[0, 0, 0]) for p in pool.state()] == [0, 1, 2, 3]


def test_half_of_what_is_given_is_old_and_nothing_is_given_twice():
    torch.manual_seed(0)
    pool = PicturePool(50)
    given = turn(pool, 0, 50)
    for first in range(50, 2050, 8):
        new = list(range(first, first + 8))
        mine = turn(pool, first, 8)
        assert all(n == m or m < n for n, m in zip(new, mine, strict=True))
        given += mine
    old = sum(n != m for n, m in enumerate(given))
    assert 900 < old < 1100
    kept = [int(p[0, 0, 0]) for p in pool.state()]
    later = given[50:]
    assert len(later) == len(set(later))  # once it is given back it is gone
    assert len(kept) == len(set(kept)) == 50
    assert set(later[-8:]) & set(kept) <= set(range(2042, 2050))


def test_nothing_is_kept_of_a_step_that_is_broken_off():
    torch.manual_seed(0)
    pool = PicturePool(2)
    turn(pool, 0, 2)
    torch.manual_seed(1)
    first = numbers(pool.exchange(pictures(2, 8)))
    torch.manual_seed(1)
    assert numbers(pool.exchange(pictures(2, 8))) == first
    assert [int(p[0, 0, 0]) for p in pool.state()] == [0, 1]


def test_without_room_the_new_ones_pass():
    pool = PicturePool(0)
    images = torch.rand(2, 3, 4, 4, requires_grad=True) * 2
    given = pool.exchange(images)
    assert torch.equal(given, images)
    assert not given.requires_grad
    assert len(pool) == 0


def test_what_was_saved_goes_on_alike():
    torch.manual_seed(0)
    pool, other = PicturePool(5), PicturePool(5)
    turn(pool, 0, 20)
    other.load(pool.state())
    for one in (pool, other):
        torch.manual_seed(3)
        one.last = turn(one, 20, 10)
    assert pool.last == other.last
    small = PicturePool(2)
    small.load(pool.state())
    assert len(small) == 2


def test_pictures_of_another_size_are_dropped():
    torch.manual_seed(0)
    pool = PicturePool(3)
    turn(pool, 0, 3)
    large = torch.ones(5, 3, 4, 4)
    given = pool.exchange(large)
    pool.settle()
    assert torch.equal(given, large)
    assert [p.shape for p in pool.state()] == [(3, 4, 4)] * 3


def test_a_kept_picture_does_not_hold_its_batch():
    pool = PicturePool(1)
    pool.exchange(torch.rand(8, 3, 4, 4))
    pool.settle()
    (kept,) = pool.state()
    assert kept.untyped_storage().nbytes() == 3 * 4 * 4 * 4
