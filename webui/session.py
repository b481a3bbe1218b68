"""What a browser session knows: its language, its client of the API, and how to tell a person about an error."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import streamlit as st

from webui import i18n
from webui.client import DEFAULT_URL, KEY_VARIABLE, URL_VARIABLE, Client, ClientError
from webui.safe_markdown import safe_markdown, visible
from webui.values import Library

RETRY_S = 3.0


def language() -> str:
    """ "zh" or "en": what was chosen in the sidebar, at first the browser's."""
    if st.session_state.get("language") not in i18n.LANGUAGES:
        st.session_state["language"] = i18n.from_locale(st.context.locale)
    return str(st.session_state["language"])


def t(key: str, **values: object) -> str:
    """A sentence in the session's language."""
    return i18n.say(language(), key, **values)


def api() -> Client:
    """The client of this process; a changed address or key makes a new one."""
    key = st.session_state.get("api_key") or os.environ.get(KEY_VARIABLE) or ""
    client: Client = _client(os.environ.get(URL_VARIABLE) or DEFAULT_URL, key)
    return client


@st.cache_resource(show_spinner=False, max_entries=4)
def _client(url: str, key: str) -> Client:
    return Client(url, key)


def pick_library(libraries: Sequence[Library], on_change: Callable[[], None] | None = None) -> Library:
    """The picker of a library; the choice outlives it, so both pages show the same one."""
    by_name = {library.name: library for library in libraries}
    if st.session_state.get("kb") not in by_name:
        st.session_state["kb"] = next(iter(by_name))
    st.session_state["kb_picker"] = st.session_state["kb"]

    def picked() -> None:
        st.session_state["kb"] = st.session_state["kb_picker"]
        if on_change is not None:
            on_change()

    st.selectbox(t("library.choose"), list(by_name), key="kb_picker", format_func=visible, width=280, on_change=picked)
    return by_name[st.session_state["kb"]]


def explain(error: ClientError) -> None:
    """An error as a box of words; what the server said cannot load or link anything."""
    st.error(safe_markdown(error.words(language())))


def ask_for_key(error: ClientError) -> None:
    """The visitor's own key; it stays in this browser session on the server and is never shown again."""
    st.subheader(t("key.title"), anchor=False)
    if st.session_state.get("api_key"):
        explain(error)
    with st.form("key", border=False, width=420):
        key = st.text_input(t("key.label"), type="password")
        if st.form_submit_button(t("key.submit")) and key:
            st.session_state["api_key"] = key
            st.rerun()


def wait_for_recovery(error: ClientError) -> None:
    """Say what is down, and run the app again as soon as it answers."""
    st.subheader(t("outage.title"), anchor=False)
    explain(error)
    _look_again()


@st.fragment(run_every=RETRY_S)
def _look_again() -> None:
    try:
        api().status()
    except ClientError:
        st.caption(t("outage.recover"))
    else:
        st.rerun()
