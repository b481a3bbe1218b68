"""The few rules of style that Streamlit's theme cannot say. Only words of the i18n table are put in: nothing of a paper or a model."""

from __future__ import annotations

import streamlit as st

from webui.session import t

# Streamlit gives a container with key="x" the class st-key-x.
CSS = """
[data-testid=stSidebarHeader]::before { content: "%(name)s"; font-size: 1.15rem; font-weight: 650; letter-spacing: -.01em; }
[data-testid=stSidebarHeader] [data-testid=stLogoSpacer] { display: none; }
.stMainBlockContainer { padding: 3.5rem 2.5rem 2rem; max-width: 84rem; }
[data-testid=stBottomBlockContainer] { padding: 0 2.5rem 1.25rem; max-width: 84rem; }
.stMain:has(.st-key-talk_alone, .st-key-outage) :is(.stMainBlockContainer, [data-testid=stBottomBlockContainer]) { max-width: 52rem; }
.stMain:has(.st-key-library_page) .stMainBlockContainer { max-width: 66rem; }
.st-key-head, .st-key-library_head { gap: .75rem; }

/* a question is a quiet box, an answer is the page itself */
[class*=st-key-question_] { background: var(--quiet); border-radius: 8px; padding: .6rem .9rem; }
[class*=st-key-question_] [data-testid=stText], [class*=st-key-quote_] [data-testid=stText] {
  font-family: inherit; white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.55; }
[class*=st-key-answer_] { margin-bottom: 1.25rem; }
[class*=st-key-answer_] :is(p, li) { line-height: 1.65; overflow-wrap: anywhere; }

/* citations */
[class*=st-key-cites_] { gap: .7rem; }
[class*=st-key-cite_] { gap: .1rem; border-left: 2px solid var(--line); padding-left: .75rem; }
[class*=st-key-cite_shown] { border-left-color: var(--mark); }
[class*=st-key-cite_] button { min-height: 0; padding: 0; justify-content: flex-start; color: var(--link); }
[class*=st-key-cite_] button p { font-weight: 600; font-size: .9rem; white-space: normal; text-align: left; }
[class*=st-key-cite_] button:hover p { text-decoration: underline; text-underline-offset: 3px; }
[class*=st-key-quote_] [data-testid=stText] { font-size: .875rem; opacity: .85; }

/* the page beside the answer stays in view */
.stColumn:has(.st-key-page_panel) > div, .stColumn:has(.st-key-page_panel) [data-testid=stLayoutWrapper]:has(> .st-key-page_panel) {
  height: 100%%; }
.st-key-page_panel { position: sticky; top: 4rem; max-height: calc(100vh - 11rem); overflow-y: auto; flex: none; gap: .6rem; }
.st-key-page_panel img { width: 100%%; border-radius: 4px; background: #fff; border: 1px solid var(--line); }
.st-key-page_panel strong { font-size: .9rem; line-height: 1.4; }
.st-key-page_moves { gap: .5rem; }
.st-key-page_moves button p { white-space: nowrap; }
.st-key-page_moves .st-key-page_close { margin-left: auto; }

.st-key-examples button { justify-content: flex-start; }
.st-key-examples button p { white-space: normal; text-align: left; }
.st-key-examples { gap: .6rem; }
.st-key-job ul { margin-bottom: 0; }

/* the words inside the file chooser are Streamlit's own, in English only */
[data-testid=stFileUploaderDropzone] button p, [data-testid=stFileUploaderDropzoneInstructions] span { font-size: 0; }
[data-testid=stFileUploaderDropzone] button p::after { content: "%(choose)s"; font-size: .875rem; }
[data-testid=stFileUploaderDropzoneInstructions] span::after { content: "%(limit)s"; font-size: .875rem; }

@media (max-width: 640px) {
  .stMainBlockContainer { padding: 4rem 1rem 1.5rem; }
  [data-testid=stBottomBlockContainer] { padding: 0 1rem 1rem; }
  /* on a small screen the page lies over the conversation until it is closed */
  .st-key-page_panel { position: fixed; inset: 0; z-index: 999990; max-height: none; padding: 1rem; background: var(--paper); }
}
"""
LIGHT = ":root { --paper: #fff; --quiet: #f1f3f5; --line: #d5d9dd; --mark: #d9a400; --link: #1f5f8b; }"
DARK = ":root { --paper: #16191c; --quiet: #22282d; --line: #3b434a; --mark: #e0b93c; --link: #7db5dc; }"


def apply() -> None:
    """Put the rules into the page."""
    words = {
        "name": t("app.name"),
        "choose": t("upload.choose"),
        "limit": t("upload.limit", mib=st.get_option("server.maxUploadSize")),
    }
    colours = DARK if st.context.theme.type == "dark" else LIGHT
    st.html(f"<style>{colours}{CSS % words}</style>")
