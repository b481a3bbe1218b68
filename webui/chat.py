"""The chat page: a library and a question in, a streamed answer out, each citation opening its page beside it."""

from __future__ import annotations

import streamlit as st

from webui import i18n
from webui.client import ClientError
from webui.conversation import Turn, ask
from webui.safe_markdown import plain, safe_markdown, visible
from webui.session import api, explain, language, pick_library, t
from webui.values import Citation, Library, Status

WATCH_S = 3.0  # how often a page that waits for the server looks again
REDRAW_S = 0.4  # how often a running answer is drawn
PAGE_DPI = 144


def show(status: Status) -> None:
    """Draw the page."""
    try:
        libraries = api().libraries()
    except ClientError as exc:
        explain(exc)
        return
    if not libraries:
        with st.container(key="talk_alone"):
            _invite(t("chat.no_library"))
        _watch(_situation(status, libraries))
        return
    if _opened() is None:
        with st.container(key="talk_alone"):
            kb = _conversation(status, libraries)
    else:
        left, right = st.columns([11, 10], gap="large")
        with left:
            kb = _conversation(status, libraries)
        with right, st.container(key="page_panel"):
            _page_panel()
    if status.embedding.state == "loading" or kb.job is not None:
        _watch(_situation(status, libraries))
    asked = st.chat_input(t("chat.input"), key="question", disabled=not _can_ask(status, kb, _turns(kb.name)))
    if asked and asked.strip():
        _ask(kb.name, asked.strip())
        st.rerun()


def _conversation(status: Status, libraries: list[Library]) -> Library:
    kb = _head(status, libraries)
    turns = _turns(kb.name)
    _notices(status, kb)
    if not turns:
        _welcome(status, kb)
    for number, turn in enumerate(turns):
        with st.container(key=f"question_{number}"):
            st.text(visible(turn.question))
        with st.container(key=f"answer_{number}"):
            if turn.running:
                _running_answer(kb.name, number)
            else:
                _answer(kb.name, number, turn)
    return kb


def _head(status: Status, libraries: list[Library]) -> Library:
    """The library picker, the way to a new conversation, and the models in use."""
    with st.container(key="head", horizontal=True, vertical_alignment="bottom"):
        kb = pick_library(libraries, _close)
        if _turns(kb.name):
            st.button(t("chat.new"), key="new_conversation", on_click=_forget, args=(kb.name,))
    line = t("status.models", llm=status.llm.name, embedding=status.embedding.name)
    st.caption(plain(f"{line} · {t('status.small')}" if status.llm.small else line))
    return kb


def _notices(status: Status, kb: Library) -> None:
    """What keeps questions from being answered well, if anything does."""
    if status.embedding.state == "loading":
        st.info(safe_markdown(t("status.embedding_loading", name=status.embedding.name)))
    elif status.embedding.state == "failed":
        st.error(safe_markdown(t("status.embedding_failed", name=status.embedding.name, error=status.embedding.error or "?")))
    if not status.llm.running:
        st.warning(safe_markdown(t("status.llm_down", name=status.llm.name)))
    if kb.error:
        st.error(safe_markdown(t("library.damaged", kb=kb.name, error=kb.error)))
    elif kb.job is not None:
        st.info(t("chat.reading", ready=kb.ready, files=kb.files - kb.failed))
    elif kb.ready == 0:
        _invite(t("chat.empty_library", kb=kb.name))


def _situation(status: Status, libraries: list[Library]) -> list[object]:
    """What decides whether and about what one can ask."""
    return [status.embedding.state, *((library.name, library.ready, library.job) for library in libraries)]


@st.fragment(run_every=WATCH_S)
def _watch(drawn: list[object]) -> None:
    """Draw the page anew when something has become ready, or has gone down."""
    try:
        now = _situation(api().status(), api().libraries())
    except ClientError:
        st.rerun()
    if now != drawn:
        st.rerun()


def _invite(words: str) -> None:
    st.markdown(safe_markdown(words))
    st.page_link(st.session_state["pages"]["library"], label=t("chat.to_library"))


def _welcome(status: Status, kb: Library) -> None:
    if kb.ready == 0:
        return
    st.header(t("chat.title"), anchor=False)
    st.markdown(plain(t("chat.lead", kb=kb.name)))
    if kb.name != i18n.SAMPLES:
        return
    with st.container(key="examples"):
        st.caption(t("chat.examples"))
        for number, question in enumerate(i18n.EXAMPLES):
            st.button(
                plain(question), key=f"example_{number}", on_click=_ask, args=(kb.name, question), disabled=not _can_ask(status, kb, [])
            )


@st.fragment(run_every=REDRAW_S)
def _running_answer(kb: str, number: int) -> None:
    turns = _turns(kb)
    if number >= len(turns) or not turns[number].running:
        st.rerun()
    turn = turns[number]
    turn.watched()
    if turn.text:
        st.markdown(safe_markdown(turn.text))
    else:
        st.caption(t("chat.thinking"))
    st.button(t("chat.stop"), key=f"stop_{number}", on_click=turn.stop)


def _answer(kb: str, number: int, turn: Turn) -> None:
    if turn.refused:
        st.markdown(f"**{t('chat.refused')}**")
    if turn.text or turn.refused:
        st.markdown(safe_markdown(turn.text or t("chat.refused_words")))
    if turn.state == "stopped":
        st.caption(t("chat.stopped"))
    if turn.error is not None and turn.state == "failed":
        st.error(safe_markdown(t("chat.failed", words=turn.error.words(language()))))
    if turn.citations:
        with st.container(key=f"cites_{number}"):
            st.caption(t("chat.closest") if turn.refused else t("chat.sources"))
            for position, citation in enumerate(turn.citations):
                _citation(kb, number, position, citation, turn)


def _citation(kb: str, number: int, position: int, citation: Citation, turn: Turn) -> None:
    is_open = st.session_state.get("opened") == (kb, number, position)
    with st.container(key=f"cite_{'shown_' if is_open else ''}{number}_{position}"):
        st.button(plain(_label(citation)), key=f"open_{number}_{position}", type="tertiary", on_click=_open, args=(kb, number, position))
        if citation.quote and citation.quote not in turn.text:  # an answer made of quotes has said it already
            with st.container(key=f"quote_{number}_{position}"):
                st.text(visible(citation.quote))
        if not turn.refused:
            st.caption(t("cite.verified") if citation.verified else f":orange[{t('cite.unverified')}]")


def _label(citation: Citation) -> str:
    """ "[1] Title — file, p. 3"; without the title when it only repeats the file's name, without the page where there are none."""
    place = t("cite.place", file=citation.file, page=citation.page) if citation.has_page else citation.file
    title = citation.title if citation.title and citation.title != citation.file else ""
    return f"[{citation.index}] {title} — {place}" if title else f"[{citation.index}] {place}"


def _page_panel() -> None:
    opened = _opened()
    if opened is None:  # the conversation beside it has just been cleared
        return
    kb, number, position = opened
    turn = _turns(kb)[number]
    citation = turn.citations[position]
    total = len(turn.citations)
    with st.container(key="page_moves", horizontal=True, vertical_alignment="center"):
        st.button(t("cite.previous"), key="page_back", on_click=_open, args=(kb, number, position - 1), disabled=position == 0)
        st.button(t("cite.next"), key="page_forth", on_click=_open, args=(kb, number, position + 1), disabled=position == total - 1)
        st.caption(t("cite.count", position=position + 1, total=total), width="content")
        st.button(t("cite.close"), key="page_close", type="tertiary", on_click=_close)
    st.markdown(f"**{plain(_label(citation))}**")
    if not citation.has_page:
        st.caption(plain(t("cite.no_pages", file=citation.file)))
        st.text(visible(citation.quote))
        return
    try:
        image = _page_image(api().url, kb, citation, PAGE_DPI)
    except ClientError as exc:
        st.error(safe_markdown(t("cite.no_image", words=exc.words(language()))))
        return
    st.image(image, width="stretch", output_format="PNG", alt=t("cite.alt", page=citation.page or 1, file=visible(citation.file)))


@st.cache_data(show_spinner=False, max_entries=64, ttl=600, hash_funcs={Citation: lambda citation: citation.model_dump_json()})
def _page_image(url: str, kb: str, citation: Citation, dpi: int) -> bytes:
    """One picture for every session that looks at it; `url` keeps two servers apart."""
    return api().page_image(kb, citation, dpi=dpi)


def _can_ask(status: Status, kb: Library, turns: list[Turn]) -> bool:
    return status.embedding.state == "ready" and kb.ready > 0 and not any(turn.running for turn in turns)


def _turns(kb: str) -> list[Turn]:
    """The conversation of this session with a library."""
    conversations: dict[str, list[Turn]] = st.session_state.setdefault("conversations", {})
    return conversations.setdefault(kb, [])


def _ask(kb: str, question: str) -> None:
    turns = _turns(kb)
    turns.append(ask(api(), kb, turns, question))
    _close()  # its marks would be taken for those of the new answer


def _forget(kb: str) -> None:
    for turn in _turns(kb):
        turn.stop()
    st.session_state["conversations"][kb] = []
    _close()


def _open(kb: str, number: int, position: int) -> None:
    st.session_state["opened"] = (kb, number, position)


def _close() -> None:
    st.session_state.pop("opened", None)


def _opened() -> tuple[str, int, int] | None:
    """Library, turn and position of the citation whose page is open, if it is still there."""
    opened: tuple[str, int, int] | None = st.session_state.get("opened")
    if opened is None:
        return None
    kb, number, position = opened
    turns = _turns(kb)
    return opened if number < len(turns) and position < len(turns[number].citations) else None
