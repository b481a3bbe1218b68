"""The client against a real HTTP server that keeps the contract."""

from __future__ import annotations

import io
import socket
import threading

import pytest

from tests.webui import fake_api
from webui.client import Client, ClientError
from webui.conversation import HISTORY_TURNS, UNWATCHED_S, Turn, ask, history
from webui.values import Citation, Message

QUESTION = [Message(role="user", content="How are scores fused?")]


def test_status_names_both_models(client: Client) -> None:
    status = client.status()
    assert (status.llm.name, status.llm.small) == ("smollm2-135m-instruct", True)
    assert (status.embedding.name, status.embedding.state, status.version) == ("multilingual-e5-small", "ready", "0.1.0")


def test_libraries_and_documents_come_with_counts_and_reasons(client: Client) -> None:
    [library] = client.libraries()
    assert (library.name, library.files, library.ready, library.failed, library.chunks, library.job) == ("samples", 4, 3, 1, 83, None)
    failed = [document for document in client.documents("samples") if document.state == "failed"]
    assert [(document.file, document.reason, document.title) for document in failed] == [
        ("scan-1987.pdf", "encrypted: needs a password", None)
    ]


def test_a_library_is_made_and_deleted_whatever_its_name_needs_escaped(client: Client, state: fake_api.State) -> None:
    name = "中文 论文?#1"
    assert client.create(name).state == "done"
    assert list(state.libraries) == ["samples", name]
    client.delete_library(name)
    assert list(state.libraries) == ["samples"]
    with pytest.raises(ClientError, match="未找到知识库") as caught:
        client.delete_library(name)
    assert caught.value.problem == "missing"


def test_an_upload_becomes_a_job_whose_events_end_with_the_failed_file_named(client: Client, state: fake_api.State) -> None:
    job = client.upload("samples", [("新论文.pdf", io.BytesIO(b"%PDF-1")), ("bad.pdf", io.BytesIO(b"x"))])
    assert (job.state, job.total, job.current) == ("running", 2, "新论文.pdf")
    events = list(client.job_events(job.id))
    assert [(event.done, event.state, event.left_s) for event in events] == [(1, "running", 2.0), (2, "done", 0.0)]
    assert events[-1].failed == {"bad.pdf": "not a PDF: the header is missing"}
    assert state.libraries["samples"]["新论文.pdf"]["state"] == "ready"


def test_an_existing_file_is_only_replaced_when_told_so(client: Client) -> None:
    with pytest.raises(ClientError, match=r"文件 rank-fusion.pdf 已存在。") as caught:
        client.upload("samples", [(fake_api.PAPER, io.BytesIO(b"x"))])
    assert caught.value.problem == "exists"
    mixed = client.upload("samples", [(fake_api.PAPER, io.BytesIO(b"x")), ("new.pdf", io.BytesIO(b"x"))])
    assert (mixed.total, list(mixed.failed)) == (1, [fake_api.PAPER])
    assert client.upload("samples", [(fake_api.PAPER, io.BytesIO(b"x"))], override=True).total == 1


def test_a_document_is_deleted(client: Client) -> None:
    client.delete("samples", "中文检索.md")
    assert "中文检索.md" not in [document.file for document in client.documents("samples")]


def test_a_job_can_be_looked_at_and_cancelled(client: Client) -> None:
    job = client.start("samples", "rebuild")
    assert (client.job(job.id).done, client.libraries()[0].job) == (1, job.id)
    client.cancel(job.id)
    assert (client.job(job.id).state, client.libraries()[0].job) == ("cancelled", None)


def test_a_page_image_is_asked_for_with_the_boxes_of_the_citation(client: Client, state: fake_api.State) -> None:
    citation = Citation.model_validate(fake_api.CITATIONS[0])
    image = client.page_image("samples", citation, dpi=72)
    assert image.startswith(b"\x89PNG")
    assert state.requests[-1][1] == "/api/v1/libraries/samples/page?file=rank-fusion.pdf&page=3&dpi=72&boxes=72%2C138%2C500%2C158"


def test_an_answer_streams_and_ends_with_its_citations(client: Client, state: fake_api.State) -> None:
    deltas = list(client.chat("samples", QUESTION))
    assert "".join(delta.content or "" for delta in deltas).strip() == fake_api.ANSWER
    last = deltas[-1]
    assert last.citations is not None
    assert [(item.index, item.page, item.verified) for item in last.citations] == [(1, 3, True), (2, 4, True), (3, 1, False)]
    assert (state.chats[0]["model"], state.chats[0]["stream"]) == ("kb/samples", True)


def test_an_error_inside_the_stream_keeps_the_servers_words(client: Client) -> None:
    with pytest.raises(ClientError, match="the worker died") as caught:
        list(client.chat("samples", [Message(role="user", content="error")]))
    assert caught.value.problem == "failed"


def test_an_unknown_library_is_missing(client: Client) -> None:
    with pytest.raises(ClientError, match="no library 'nowhere'") as caught:
        list(client.chat("nowhere", QUESTION))
    assert caught.value.problem == "missing"


def test_stopping_wakes_the_reader_and_lets_the_server_know(client: Client, state: fake_api.State) -> None:
    turn = ask(client, "samples", [], "slow")
    while not turn.text:  # the server has begun; it will not end by itself
        assert not turn.finished.wait(0.01)
    turn.stop()
    assert turn.finished.wait(5)
    assert (turn.state, turn.text, turn.error) == ("stopped", "Once upon a time ", None)
    assert state.gone.wait(5)


def test_stopping_before_the_first_word_hangs_up_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, Client(f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
        turn = ask(client, "samples", [], "anything")
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(65536)  # the question has come, and we keep silent
            turn.stop()
            assert turn.finished.wait(5)
            while connection.recv(65536):  # the rest of the question, then the end
                pass
    assert (turn.state, turn.text, turn.error) == ("stopped", "", None)


def test_an_answer_nobody_watches_is_given_up(client: Client, state: fake_api.State) -> None:
    now = 0.0
    turn = ask(client, "samples", [], "slow", clock=lambda: now)
    while not turn.text:
        assert not turn.finished.wait(0.01)
    now = UNWATCHED_S + 1
    state.go_on.set()  # the next word comes
    assert turn.finished.wait(5)
    assert turn.state == "stopped"


def test_history_leaves_out_failures_and_what_is_long_ago() -> None:
    turns = [Turn(f"q{number}", text=f"a{number}", state="done") for number in range(HISTORY_TURNS + 1)]
    turns.append(Turn("broken", text="half", state="failed"))
    messages = history(turns)
    assert len(messages) == 2 * HISTORY_TURNS
    assert (messages[0].content, messages[-1].content, messages[-1].role) == ("q1", f"a{HISTORY_TURNS}", "assistant")


def test_a_wrong_key_says_where_the_keys_are(client: Client, state: fake_api.State) -> None:
    state.key = fake_api.KEY
    with pytest.raises(ClientError, match=r"server\.api_keys"):
        client.status()
    with Client(client.url, fake_api.KEY) as knowing:
        assert knowing.status().version == "0.1.0"


def test_nobody_listening_says_what_is_down_and_how_to_start_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with Client(url) as client, pytest.raises(ClientError) as caught:
        client.libraries()
    assert caught.value.problem == "down"
    assert url in str(caught.value)
    assert "startup.py -a" in str(caught.value)
    assert "未启动" in caught.value.words("zh")


def test_a_server_that_does_not_answer_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts, and says nothing
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Client(url, patience_s=0.2) as client, pytest.raises(ClientError) as caught:
            client.status()
    assert caught.value.problem == "silent"


def test_something_else_on_the_port_is_garbled() -> None:
    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        with Client(f"http://127.0.0.1:{listener.getsockname()[1]}") as client, pytest.raises(ClientError) as caught:
            client.status()
        thread.join(5)
    assert caught.value.problem == "garbled"


def test_a_proxy_of_the_environment_is_not_used(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with Client(client.url) as fresh:
        assert fresh.status().version == "0.1.0"
