"""The pages as Streamlit runs them, without a browser, against the fake API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.webui import fake_api
from webui import i18n
from webui.client import URL_VARIABLE

APP = str(Path(__file__).resolve().parents[2] / "webui" / "app.py")


def library_page() -> None:
    """The script of the second page: AppTest can only walk to pages that are files of their own."""
    from webui import library
    from webui.session import api

    library.show(api().status())


def open_app(page: str = "chat", **context: Any) -> AppTest:
    app = AppTest.from_function(library_page, default_timeout=30) if page == "library" else AppTest.from_file(APP, default_timeout=30)
    app.context.update({"locale": "en-US", **context})
    app.run()
    assert_calm(app)
    return app


def assert_calm(app: AppTest) -> None:
    assert [item.value for item in app.exception] == []


def words(app: AppTest) -> str:
    """Everything that the page says, in one string without escapes."""
    parts = [*app.markdown, *app.caption, *app.text, *app.error, *app.info, *app.warning, *app.success, *app.subheader, *app.header]
    return "\n".join(str(part.value) for part in parts).replace("\\", "")


def labels(app: AppTest) -> list[str]:
    return [button.label.replace("\\", "") for button in app.button]


def ask(app: AppTest, question: str) -> None:
    app.chat_input[0].set_value(question).run()
    finish(app)


def finish(app: AppTest) -> None:
    """Wait for the newest answer, then draw it."""
    turns = [turn for turns in app.session_state["conversations"].values() for turn in turns]
    assert turns[-1].finished.wait(10)
    app.run()
    assert_calm(app)


@pytest.mark.usefixtures("ui_environment")
class TestChat:
    def test_an_empty_conversation_names_the_models_and_offers_examples(self) -> None:
        app = open_app()
        assert "smollm2-135m-instruct" in words(app)
        assert "multilingual-e5-small" in words(app)
        assert "demo model – answers are verbatim quotes" in words(app)
        assert [label for label in labels(app) if label in i18n.EXAMPLES] == list(i18n.EXAMPLES)

    def test_a_big_model_is_not_called_a_demo(self, state: fake_api.State) -> None:
        state.small = False
        assert "demo model" not in words(open_app())

    def test_the_browsers_language_comes_first_and_can_be_changed(self) -> None:
        app = open_app(locale="zh-CN")
        assert "想了解什么？" in words(app)
        app.segmented_control[0].set_value("en").run()
        assert "What would you like to know?" in words(app)

    def test_a_question_is_answered_with_its_citations(self) -> None:
        app = open_app()
        ask(app, "How are scores fused?")
        assert "Scale both score lists" in words(app)
        assert "[1] Rank fusion for small libraries — rank-fusion.pdf, p. 3" in labels(app)
        assert fake_api.QUOTE in words(app)
        assert "found word for word in the paper" in words(app)

    def test_an_example_is_asked_by_a_click(self, state: fake_api.State) -> None:
        app = open_app()
        app.button(key="example_2").click().run()
        finish(app)
        assert state.chats[0]["messages"] == [{"role": "user", "content": i18n.EXAMPLES[2]}]

    def test_a_further_question_carries_the_conversation(self, state: fake_api.State) -> None:
        app = open_app()
        ask(app, "first")
        ask(app, "second")
        assert [message["role"] for message in state.chats[1]["messages"]] == ["user", "assistant", "user"]
        assert state.chats[1]["messages"][-1]["content"] == "second"

    def test_a_citation_opens_its_page_and_the_next_one_follows(self, state: fake_api.State) -> None:
        app = open_app()
        ask(app, "How are scores fused?")
        app.button(key="open_0_0").click().run()
        assert "page=3" in state.requests[-1][1]
        assert "Citation 1 of 3" in words(app)
        app.button(key="page_forth").click().run()
        assert "page=4" in state.requests[-1][1]
        assert "Citation 2 of 3" in words(app)
        app.button(key="page_close").click().run()
        assert "Citation" not in labels(app)
        assert_calm(app)

    def test_a_page_that_is_gone_is_told_in_words(self, state: fake_api.State) -> None:
        app = open_app()
        ask(app, "How are scores fused?")
        del state.libraries["samples"][fake_api.PAPER]
        app.button(key="open_0_0").click().run()
        assert "The page cannot be shown." in words(app)
        assert_calm(app)

    def test_while_papers_are_read_those_that_failed_are_not_waited_for(self, state: fake_api.State) -> None:
        state.jobs["j"] = {
            "id": "j", "kb": "samples", "kind": "upload", "state": "running", "total": 4, "done": 1, "current": "a.pdf",
            "pages": 0, "chunks": 0, "seconds": 6, "left_s": 18, "failed": {}, "message": "",
        }  # fmt: skip
        assert "Papers are being read: 3 of 3 are ready" in words(open_app())

    def test_a_file_without_pages_shows_the_quote_and_claims_no_page(self, state: fake_api.State) -> None:
        app = open_app()
        ask(app, "How are scores fused?")
        assert "[3] 中文检索的分词方法 — 中文检索.md" in labels(app)
        asked = len(state.requests)
        app.button(key="open_0_2").click().run()
        assert "中文检索.md has no pages" in words(app)
        assert words(app).count("二元分词在短查询上优于词典分词。") == 2
        assert not any("/page" in path for _, path in state.requests[asked:])

    def test_a_refusal_says_so_and_shows_the_closest_passages(self) -> None:
        app = open_app()
        ask(app, "please refuse")
        assert "Not in your library" in words(app)
        assert "Closest passages" in words(app)
        assert "found word for word" not in words(app)

    def test_an_error_in_the_stream_is_words_below_what_had_come(self) -> None:
        app = open_app()
        ask(app, "error")
        assert "Half an" in words(app)
        assert "No answer: The server failed at this: the worker died" in words(app)
        assert not app.chat_input[0].disabled

    def test_stop_keeps_what_has_come(self, state: fake_api.State) -> None:
        app = open_app()
        app.chat_input[0].set_value("slow").run()
        [turn] = app.session_state["conversations"]["samples"]
        while not turn.text:
            assert not turn.finished.wait(0.01)
        app.run()
        assert app.chat_input[0].disabled
        app.button(key="stop_0").click().run()
        finish(app)
        assert "Once upon a time" in words(app)
        assert "Stopped." in words(app)
        assert state.gone.wait(5)

    def test_a_quote_that_is_the_answer_is_not_said_twice(self) -> None:
        app = open_app()
        ask(app, "verbatim")
        assert words(app).count(fake_api.QUOTE) == 1
        assert "found word for word in the paper" in words(app)

    def test_a_new_conversation_is_empty(self) -> None:
        app = open_app()
        ask(app, "How are scores fused?")
        app.button(key="new_conversation").click().run()
        assert "What would you like to know?" in words(app)
        assert "Scale both score lists" not in words(app)

    def test_each_library_has_its_own_conversation(self, state: fake_api.State) -> None:
        state.libraries["other"] = {"a.pdf": fake_api.document("a.pdf")}
        app = open_app()
        ask(app, "How are scores fused?")
        app.button(key="open_0_0").click().run()
        app.selectbox[0].set_value("other").run()
        assert "Scale both score lists" not in words(app)
        assert "Citation 1 of 3" not in words(app)
        assert i18n.EXAMPLES[0] not in labels(app)  # those are about the samples
        app.selectbox[0].set_value("samples").run()
        assert "Scale both score lists" in words(app)

    def test_nothing_can_be_asked_while_the_embedding_model_loads(self, state: fake_api.State) -> None:
        state.embedding = "loading"
        app = open_app()
        assert app.chat_input[0].disabled
        assert "is loading" in words(app)

    def test_parts_that_are_down_are_named(self, state: fake_api.State) -> None:
        state.embedding, state.running = "failed", False
        app = open_app()
        assert "could not be loaded, so nothing can be searched: no weights" in words(app)
        assert "The language model smollm2-135m-instruct is not running" in words(app)

    def test_without_a_library_the_way_to_one_is_shown(self, state: fake_api.State) -> None:
        state.libraries.clear()
        assert "There is no library yet" in words(open_app())


@pytest.mark.usefixtures("ui_environment")
class TestLibrary:
    def test_documents_stand_in_a_table_with_states_and_reasons(self) -> None:
        app = open_app("library")
        table = app.dataframe[0].value
        assert list(table["state"]) == ["ready", "ready", "ready", "failed"]
        assert table["reason"][3] == "encrypted: needs a password"
        assert table["reason"][1] == "same paper as rank-fusion.pdf"
        assert (table["authors"][0], table["year"][0]) == ("A. Author, 李明", 2024)
        assert list(table["language"])[:2] == ["English", "Chinese"]
        assert "Documents: 4 · ready: 3 · failed: 1 · passages: 83" in words(app)

    def test_an_upload_is_followed_to_its_outcome(self, state: fake_api.State) -> None:
        app = open_app("library")
        app.file_uploader[0].set_value([(name, b"%PDF-", "application/pdf") for name in ("new.pdf", "bad.pdf", fake_api.PAPER)]).run()
        app.text_input(key="password_0").set_value("秘密")
        state.hold = True
        app.button(key="upload").click().run()
        assert_calm(app)
        assert state.passwords == ["秘密"]
        assert "0 of 2 files · now: new.pdf" in app.progress[0].text.replace("\\", "")
        state.hold = False
        app.run()  # a look moves the job one file
        app.run()
        app.run()
        assert "Done: 1 of 2 files are ready, after 4 s." in words(app)
        assert "bad.pdf** – not a PDF: the header is missing" in words(app)
        assert f"{fake_api.PAPER}** – 文件 {fake_api.PAPER} 已存在。" in words(app)  # refused before the job began
        app.button(key="dismiss_job").click().run()
        assert "Done: 1 of 2" not in words(app)

    def test_a_job_that_somebody_else_started_is_shown_and_can_be_stopped(self, state: fake_api.State, ui_environment: str) -> None:
        state.hold = True
        state.jobs["j"] = {
            "id": "j", "kb": "samples", "kind": "rebuild", "state": "running", "total": 400, "done": 100, "current": "中文检索.md",
            "pages": 0, "chunks": 0, "seconds": 60, "left_s": 180, "failed": {}, "message": "",
        }  # fmt: skip
        state.queues["j"] = []
        app = open_app("library")
        assert app.progress[0].value == 25
        assert "Documents: 4 · ready: 3 · failed: 1" in words(app)
        assert app.progress[0].text.replace("\\", "") == "100 of 400 files · now: 中文检索.md · about 3 min left"
        assert app.button(key="rebuild").disabled
        app.button(key="cancel_job").click().run()
        assert state.jobs["j"]["state"] == "cancelled"
        app.run()
        assert "Stopped: 100 of 400 files were handled." in words(app)

    def test_rebuilding_is_started_by_a_click(self, state: fake_api.State) -> None:
        app = open_app("library")
        app.button(key="rebuild").click().run()
        assert_calm(app)
        assert [job["kind"] for job in state.jobs.values()] == ["rebuild"]

    def test_a_first_library_can_be_made_where_none_is(self, state: fake_api.State) -> None:
        state.libraries.clear()
        app = open_app("library")
        assert "There is no library yet" in words(app)
        assert "New library" in labels(app)


def test_an_api_that_is_down_is_named_and_its_return_is_noticed(monkeypatch: pytest.MonkeyPatch, ui_environment: str) -> None:
    monkeypatch.setenv(URL_VARIABLE, "http://127.0.0.1:9")
    app = open_app()
    assert "This page cannot reach its server" in words(app)
    assert "`http://127.0.0.1:9`" in words(app)
    assert "`python startup.py -a`" in words(app)
    monkeypatch.setenv(URL_VARIABLE, ui_environment)
    app.run()
    assert "What would you like to know?" in words(app)


def enter(app: AppTest, key: str) -> None:
    app.text_input[0].input(key)
    next(button for button in app.button if button.label == "Enter").click()
    app.run()


def test_a_server_with_a_key_asks_for_it_and_says_when_it_is_wrong(state: fake_api.State, ui_environment: str) -> None:
    state.key = fake_api.KEY
    app = open_app()
    assert "This server wants a key" in words(app)
    enter(app, "not the key")
    assert "does not accept the key" in words(app)
    enter(app, fake_api.KEY)
    assert "What would you like to know?" in words(app)
    assert fake_api.KEY not in words(app)
