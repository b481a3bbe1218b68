"""The whole UI as a person uses it: a real Streamlit process and Chromium, the API faked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.webui import browser, fake_api

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browser.chromium_path() is None, reason="Chromium is not installed (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def state() -> fake_api.State:
    return fake_api.sample_state()


@pytest.fixture(scope="module")
def base_url(state: fake_api.State) -> Iterator[str]:
    state.key = fake_api.KEY
    with fake_api.serve(state) as api_url, browser.streamlit(api_url, fake_api.KEY) as url:
        yield url


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    with browser.chromium() as chrome:
        yield chrome


def test_a_question_is_answered_and_its_citation_shows_the_page(chrome: Browser, base_url: str) -> None:
    page = browser.open_app(chrome, base_url)
    answer = browser.ask(page, "How are scores fused?")
    expect(answer).to_contain_text("Scale both score lists to the same range")
    assert browser.citations(page)[0] == "[1] Rank fusion for small libraries — rank-fusion.pdf, p. 3"
    browser.open_citation(page, 2)
    assert browser.shown_page(page) == fake_api.page_png(4, "72,164,480,184", 144)
    beside, words = browser.panel_image(page).bounding_box(), answer.bounding_box()
    assert beside is not None
    assert words is not None
    assert beside["x"] >= words["x"] + words["width"]
    page.context.close()


def test_words_appear_while_the_model_is_still_speaking_and_stop_ends_it(chrome: Browser, base_url: str, state: fake_api.State) -> None:
    page = browser.open_app(chrome, base_url)
    answer = browser.ask(page, "slow", wait=False)
    expect(answer).to_contain_text("Once upon a time")
    page.locator("[class*=st-key-stop_] button").click()
    browser.wait_for_answer(page)
    expect(answer).to_contain_text("Stopped.")
    assert state.gone.wait(5)
    page.context.close()


def test_a_hostile_answer_loads_and_links_nothing(chrome: Browser, base_url: str) -> None:
    page = browser.open_app(chrome, base_url)
    foreign = browser.foreign_requests(page, base_url)
    answer = browser.ask(page, "hostile")
    expect(answer).to_contain_text("evil.test/e.png")
    expect(answer.locator("strong").first).to_have_text("bold")
    assert browser.links_and_pictures(answer) == 0
    browser.open_citation(page)
    assert browser.links_and_pictures(page.locator(".st-key-page_panel")) == 1  # the page itself
    assert foreign == []
    page.context.close()


def test_the_pages_ask_nobody_but_this_server_and_never_see_the_key(chrome: Browser, base_url: str) -> None:
    page = browser.open_app(chrome, base_url)
    foreign = browser.foreign_requests(page, base_url)
    page.reload()
    browser.settled(page)
    page.goto(f"{base_url}/library")
    browser.settled(page)
    assert foreign == []
    assert fake_api.KEY not in page.content()
    page.context.close()


def test_on_a_phone_the_page_covers_the_conversation_until_it_is_closed(chrome: Browser, base_url: str) -> None:
    page = browser.open_app(chrome, base_url, width=390, height=844, locale="zh-CN")
    browser.ask(page, "如何融合？")
    browser.open_citation(page)
    box = page.locator(".st-key-page_panel").bounding_box()
    assert box == {"x": 0, "y": 0, "width": 390, "height": 844}
    page.get_by_role("button", name="关闭").click()
    expect(browser.panel_image(page)).to_have_count(0)
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390
    page.context.close()


def test_uploaded_files_are_followed_and_the_bad_one_is_named(chrome: Browser, base_url: str, state: fake_api.State) -> None:
    page = browser.open_app(chrome, base_url, "library")
    browser.upload(page, [("new.pdf", b"%PDF-"), ("bad.pdf", b"x")], password="a b")
    outcome = browser.wait_for_job(page)
    assert "Done: 1 of 2 files are ready" in outcome
    assert "bad.pdf – not a PDF: the header is missing" in outcome
    assert state.passwords == ["a b"]
    page.context.close()


def test_a_library_is_made_filled_and_deleted_after_a_yes(chrome: Browser, base_url: str, state: fake_api.State) -> None:
    page = browser.open_app(chrome, base_url, "library")
    browser.create_library(page, "samples")
    expect(page.get_by_text("There is a library of this name already.")).to_be_visible()
    page.keyboard.press("Escape")
    browser.create_library(page, "学位论文")
    expect(page.get_by_text("is ready for papers")).to_be_visible()
    assert "学位论文" in state.libraries
    browser.upload(page, [("a.pdf", b"x")])
    browser.wait_for_job(page)
    assert list(state.libraries["学位论文"]) == ["a.pdf"]
    page.locator(".st-key-delete_library button").click()
    expect(page.get_by_text("and all papers in it (1)?")).to_be_visible()
    assert "学位论文" in state.libraries
    page.locator(".st-key-confirm_delete button").click()
    expect(page.get_by_text("is deleted.")).to_be_visible()
    assert list(state.libraries) == ["samples"]
    page.context.close()


def test_ticked_documents_are_deleted_after_a_yes(chrome: Browser, base_url: str, state: fake_api.State) -> None:
    others = state.libraries["samples"]
    state.libraries["samples"] = {"doomed.pdf": fake_api.document("doomed.pdf"), **others}
    page = browser.open_app(chrome, base_url, "library")
    browser.tick_row(page, 1)
    page.locator(".st-key-delete_documents button").click()
    page.locator(".st-key-confirm_delete button").click()
    expect(page.get_by_text("Deleted: 1")).to_be_visible()
    assert state.libraries["samples"] == others
    expect(page.locator(".st-key-delete_documents")).to_have_count(0)  # the row that moved up is not ticked
    page.context.close()


def test_a_paper_that_becomes_ready_can_be_asked_about_without_a_click(chrome: Browser, base_url: str, state: fake_api.State) -> None:
    state.embedding = "loading"
    page = browser.open_app(chrome, base_url)
    expect(page.locator("[data-testid=stChatInput] textarea")).to_be_disabled()
    state.embedding = "ready"
    browser.wait_for_answer(page)
    page.context.close()


def test_the_page_comes_back_by_itself_when_the_api_does(chrome: Browser) -> None:
    state = fake_api.sample_state()
    with fake_api.serve(state) as api_url:
        port = int(api_url.rsplit(":", 1)[1])
    with browser.streamlit(api_url) as base_url:
        page = browser.open_app(chrome, base_url)
        expect(page.get_by_text("This page cannot reach its server")).to_be_visible()
        with fake_api.serve(state, port):
            expect(page.get_by_text("What would you like to know?")).to_be_visible(timeout=30_000)
        page.context.close()
