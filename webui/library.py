"""The libraries page: make and delete libraries, see their documents, upload papers and watch them being read."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import streamlit as st

from webui import jobs
from webui.client import ClientError
from webui.i18n import say_or
from webui.safe_markdown import plain, safe_markdown, visible
from webui.session import api, explain, language, pick_library, t
from webui.values import Document, Library, Status

LIVE_S = 3.0  # how often the table is drawn anew while a job runs
LISTED = 8  # names shown in a question before "and n more"


def show(status: Status) -> None:
    """Draw the page."""
    with st.container(key="library_page"):
        try:
            libraries = api().libraries()
        except ClientError as exc:
            explain(exc)
            return
        _notice()
        kb = _head(libraries)
        if kb is None:
            st.markdown(t("library.none"))
            return
        if kb.error:
            st.error(safe_markdown(t("library.damaged", kb=kb.name, error=kb.error)))
            _upkeep(kb)
            return
        if kb.job is None:
            _facts(kb, status)
        else:
            st.fragment(_live_facts, run_every=LIVE_S)(kb.name, status)
        jobs.show(kb)
        _upload(kb)
        st.subheader(t("docs.heading"), anchor=False)
        if kb.job is None:
            _documents(kb.name, live=False)
        else:
            st.fragment(_documents, run_every=LIVE_S)(kb.name, live=True)
        _upkeep(kb)


def _head(libraries: list[Library]) -> Library | None:
    """The picker and the way to a new library."""
    with st.container(key="library_head", horizontal=True, vertical_alignment="bottom"):
        kb = pick_library(libraries) if libraries else None
        if st.button(t("library.new"), key="new_library"):
            st.dialog(t("library.new"))(_ask_name)([library.name for library in libraries])
    return kb


def _upkeep(kb: Library) -> None:
    st.subheader(t("library.manage"), anchor=False)
    busy = kb.job is not None
    with st.container(key="upkeep", horizontal=True):
        for kind in ("increment", "rebuild"):
            st.button(t(f"library.{kind}"), key=kind, help=t(f"library.{kind}_help"), disabled=busy, on_click=_start, args=(kb.name, kind))
        if st.button(t("library.delete"), key="delete_library", disabled=busy):
            st.dialog(t("library.delete"))(_ask_delete_library)(kb)


def _live_facts(name: str, status: Status) -> None:
    """The facts while a job changes them."""
    try:
        now = next((library for library in api().libraries() if library.name == name), None)
    except ClientError as exc:
        explain(exc)  # the next look may succeed
        return
    if now is not None:
        _facts(now, status)


def _facts(kb: Library, status: Status) -> None:
    parts = [t("library.facts", files=kb.files, ready=kb.ready, failed=kb.failed, chunks=f"{kb.chunks:,}")]
    parts.append(t("library.embedding", name=kb.embedding or status.embedding.name))
    if kb.info:
        parts.insert(0, kb.info)
    st.caption(plain(" · ".join(parts)))


def _upload(kb: Library) -> None:
    """Choose files, send them, and let the job panel follow."""
    st.subheader(t("upload.heading"), anchor=False)
    round_number = st.session_state.get("uploads", 0)  # a new key empties the chooser
    files = st.file_uploader(t("upload.files"), accept_multiple_files=True, key=f"files_{round_number}", disabled=kb.job is not None)
    with st.form(f"upload_{round_number}", border=False):  # a form sends what was typed also when the field is left with Tab
        password = st.text_input(
            t("upload.password"), type="password", key=f"password_{round_number}", help=t("upload.password_help"), max_chars=200
        )
        with st.container(key="upload_row", horizontal=True, vertical_alignment="center"):
            sent = st.form_submit_button(t("upload.start"), key="upload", type="primary", disabled=kb.job is not None or not files)
            override = st.checkbox(t("upload.override"), key=f"override_{round_number}")
    if not sent or not files:
        return
    try:
        with st.spinner(t("upload.sending", count=len(files))):
            job = api().upload(kb.name, [(file.name, file) for file in files], override=override, password=password)
    except ClientError as exc:
        explain(exc)
        return
    jobs.follow(kb.name, job)
    st.session_state["uploads"] = round_number + 1
    st.rerun()


def _documents(kb: str, *, live: bool) -> None:
    """The table of documents; rows can be ticked and deleted while nothing is being read."""
    try:
        documents = api().documents(kb)
    except ClientError as exc:
        explain(exc)
        return
    if not documents:
        st.caption(t("docs.none"))
        return
    columns = {
        "title": st.column_config.TextColumn(t("docs.title"), width=225),
        "authors": st.column_config.TextColumn(t("docs.authors"), width=120),
        "year": st.column_config.NumberColumn(t("docs.year"), width=60, format="%d"),
        "file": st.column_config.TextColumn(t("docs.file"), width=155),
        "state": st.column_config.TextColumn(t("docs.state"), width=75),
        "reason": st.column_config.TextColumn(t("docs.reason"), width=180),
        "language": st.column_config.TextColumn(t("docs.language"), width=78),
        "pages": st.column_config.NumberColumn(t("docs.pages"), width=60),
        "chunks": st.column_config.NumberColumn(t("docs.chunks"), width=75),
    }
    rows = [_row(document) for document in documents]
    if live:
        st.dataframe(rows, hide_index=True, column_config=columns, column_order=list(columns), placeholder="")
        return
    chosen = st.dataframe(
        rows, hide_index=True, column_config=columns, column_order=list(columns), placeholder="", key=_table_key(kb, documents),
        on_select="rerun", selection_mode="multi-row",
    )  # fmt: skip
    ticked = [documents[row].file for row in _selected(chosen) if row < len(documents)]
    if not ticked:
        st.caption(t("docs.pick"))
    elif st.button(t("docs.delete", count=len(ticked)), key="delete_documents"):
        st.dialog(t("docs.delete", count=len(ticked)))(_ask_delete_documents)(kb, ticked)


def _table_key(kb: str, documents: list[Document]) -> str:
    """Another table for another list of files: ticks are row numbers, and must not pass to the file that moves up."""
    files = "\0".join(document.file for document in documents)
    return f"documents_{kb}_{hashlib.sha256(files.encode()).hexdigest()[:16]}"


def _row(document: Document) -> dict[str, Any]:
    remarks = [text for text in (document.reason, *document.warnings) if text]
    if document.same_as:
        remarks.append(t("docs.same_as", file=document.same_as.file))
    return {
        "title": visible(document.title or document.file),
        "authors": visible(", ".join(document.authors)),
        "year": document.year,
        "file": visible(document.file),
        "language": say_or(language(), f"lang.{document.language}", document.language or ""),
        "pages": document.pages or None,
        "chunks": document.chunks or None,
        "state": say_or(language(), f"state.{document.state}", document.state),
        "reason": visible("; ".join(remarks)),
    }


def _selected(event: Any) -> list[int]:
    return list(event.selection.rows)


def _ask_delete_documents(kb: str, files: list[str]) -> None:
    st.markdown(plain(t("docs.delete_ask", kb=kb)))
    for file in files[:LISTED]:
        st.text(visible(file))
    if len(files) > LISTED:
        st.caption(t("docs.more", count=len(files) - LISTED))
    if not _confirmed():
        return
    try:
        for file in files:
            api().delete(kb, file)
    except ClientError as exc:
        explain(exc)
        return
    st.session_state["notice"] = t("docs.deleted", count=len(files))
    st.rerun()


def _ask_delete_library(kb: Library) -> None:
    st.markdown(plain(t("library.delete_ask", kb=kb.name, files=kb.files)))
    if not _confirmed():
        return
    try:
        api().delete_library(kb.name)
    except ClientError as exc:
        explain(exc)
        return
    st.session_state["notice"] = t("library.deleted", kb=kb.name)
    st.session_state.pop("kb", None)
    st.session_state.pop("opened", None)
    st.session_state.get("conversations", {}).pop(kb.name, None)
    st.rerun()


def _confirmed() -> bool:
    """The two buttons under a question; the harmless one closes the dialog."""
    with st.container(horizontal=True):
        yes: bool = st.button(t("ask.delete"), key="confirm_delete", type="primary")
        if st.button(t("ask.cancel"), key="cancel_delete"):
            st.rerun()
    return yes


def _ask_name(taken: list[str]) -> None:
    with st.form("create_library", border=False):
        name = st.text_input(t("library.name"), key="new_name", max_chars=100).strip()
        if not st.form_submit_button(t("library.create"), type="primary", key="create"):
            return
    if not name:
        st.error(t("library.name_missing"))
        return
    if name in taken:  # the server would take it for an order to read that library again
        st.error(t("library.exists"))
        return
    try:
        job = api().create(name)
    except ClientError as exc:
        explain(exc)
        return
    if job.state == "failed":
        st.error(safe_markdown(t("job.state_failed", message=job.message or "?")))
        return
    st.session_state["kb"] = name
    st.session_state["notice"] = t("library.created", kb=name)
    st.rerun()


def _start(kb: str, kind: Literal["increment", "rebuild"]) -> None:
    try:
        jobs.follow(kb, api().start(kb, kind))
    except ClientError as exc:
        st.session_state["notice_error"] = exc


def _notice() -> None:
    """What the last click did, told once."""
    if words := st.session_state.pop("notice", None):
        st.success(plain(words))
    if error := st.session_state.pop("notice_error", None):
        explain(error)
