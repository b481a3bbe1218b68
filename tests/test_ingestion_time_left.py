"""How long a run will still take: worked out by hand; a scan does not let it grow."""

from __future__ import annotations

import pytest

from server.ingestion.remaining import Remaining


def test_nothing_is_said_without_experience():
    remaining = Remaining(1000)
    assert remaining.left_s(10) is None
    remaining.was_read("a", 100, 5, 0.5, 0.5)
    assert remaining.left_s(0.5) is None  # a second at least


def test_what_is_left_is_counted_in_seconds_of_a_worker_and_divided_by_those_at_work():
    remaining = Remaining(1000)
    remaining.was_read("a", 100, 10, 1.0, 1.0)  # 0.01 s a byte, 0.1 windows a byte
    remaining.embedded(10, 5.0, 2.0)  # 0.5 s a window, so 0.05 s a byte more
    # 900 bytes of 0.06 s each are 54 s of one worker; in 2 s the workers did 6 s of work, so three are busy
    assert remaining.left_s(2.0) == pytest.approx(18)
    assert remaining.left_s(5.0) == pytest.approx(15)  # nothing happened meanwhile: it counts down
    assert remaining.left_s(60.0) == 0


def test_a_scan_is_counted_by_its_pages_and_does_not_let_the_time_grow():
    remaining = Remaining(1_000_100)
    remaining.was_read("a", 100, 10, 1.0, 1.0)
    remaining.embedded(10, 1.0, 1.0)
    before = remaining.left_s(1.0)
    assert before == pytest.approx(1_000_000 * 0.02 / 2)  # as if it were text
    told = []
    for page in range(1, 11):
        remaining.ocr_page("scan", 1_000_000, page, 10, page, 0.0 if page == 1 else 4.0, 1.0 + 4 * (page - 1))
        told.append(remaining.left_s(1.0 + 4 * (page - 1)))
    remaining.was_read("scan", 1_000_000, 20, 4.0, 41.0)
    assert told[0] == pytest.approx(1.0 * 10 * 5.0 / 2)  # ten pages of 5 s by two workers
    assert all(later < 60 for later in told)
    assert told[1:] == sorted(told[1:], reverse=True)
    assert remaining.left_s(41.0) == pytest.approx(41 * 20 * 0.1 / 42)  # 20 windows of 0.1 s, one worker


def test_a_paper_with_one_scanned_page_is_not_taken_for_a_scan():
    remaining = Remaining(100)
    remaining.ocr_page("a", 100, 20, 33, 1, 0.0, 2.0)  # the first of 20 pages
    assert remaining.ocr_left == {"a": 1 + 13 / 20}


def test_a_failed_file_leaves_nothing_to_do():
    remaining = Remaining(200)
    remaining.was_read("a", 100, 10, 1.0, 1.0)
    remaining.was_read("bad", 100, 0, 1.0, 2.0)
    remaining.dropped(10)
    assert remaining.left_s(2.0) == 0
