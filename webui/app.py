"""The entry point of the web UI: `streamlit run webui/app.py`. One line a page; language and status stand in the sidebar."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import streamlit as st

ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in sys.path:  # Streamlit puts only the script's own folder there
    sys.path.insert(0, ROOT)

from webui import chat, library, style  # noqa: E402  # needs the path above
from webui.client import ClientError  # noqa: E402
from webui.i18n import LANGUAGES  # noqa: E402
from webui.session import api, ask_for_key, language, t, wait_for_recovery  # noqa: E402
from webui.values import Status  # noqa: E402


def main() -> None:
    """Draw the page that the address names, or say what is down."""
    st.set_page_config(page_title=t("app.name"), layout="wide")
    style.apply()
    status: Status | None = None
    try:
        status = api().status()
        views: dict[str, Callable[[], None]] = {"chat": partial(chat.show, status), "library": partial(library.show, status)}
    except ClientError as exc:
        views = dict.fromkeys(("chat", "library"), partial(_outage, exc))
    pages = {name: st.Page(view, title=t(f"page.{name}"), url_path=name, default=name == "chat") for name, view in views.items()}
    page = st.navigation(list(pages.values()))
    st.session_state["pages"] = pages
    _sidebar(status)
    page.run()


def _outage(error: ClientError) -> None:
    with st.container(key="outage"):
        ask_for_key(error) if error.problem == "key" else wait_for_recovery(error)


def _sidebar(status: Status | None) -> None:
    with st.sidebar:
        st.segmented_control(
            t("language"), list(LANGUAGES), format_func=LANGUAGES.__getitem__, key="language_choice",
            default=language(), required=True, label_visibility="collapsed", on_change=_choose_language,
        )  # fmt: skip
        st.caption(t("status.ready", version=status.version) if status else t("status.down"))


def _choose_language() -> None:
    st.session_state["language"] = st.session_state["language_choice"]


main()
