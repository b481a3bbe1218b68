"""The panel of a library's running job: progress while it runs, its outcome with each failed file and the reason afterwards."""

from __future__ import annotations

import streamlit as st

from webui.client import ClientError
from webui.i18n import WORDS, duration
from webui.safe_markdown import plain, safe_markdown
from webui.session import api, explain, language, t
from webui.values import Job, Library

LOOK_S = 1.0
FAILURES_LISTED = 50


def follow(kb: str, job: Job) -> None:
    """Remember a job of this session, so that its outcome is shown even when it ends between two looks.

    Files that were refused at the door are only in the first answer; they are kept beside it.
    """
    _followed()[kb] = job.id
    st.session_state.setdefault("refused_files", {})[job.id] = job.failed


def show(kb: Library) -> None:
    """Draw the running job of a library, or the outcome of the last one that was followed here."""
    if kb.job is not None:
        _followed()[kb.name] = kb.job
        _progress(kb.job)
        return
    job_id = _followed().get(kb.name)
    if job_id is None:
        return
    try:
        job = api().job(job_id)
    except ClientError as exc:
        if exc.problem != "missing":  # the server has forgotten it
            explain(exc)
        _followed().pop(kb.name)
        return
    if job.running:
        _progress(job_id)
    else:
        _outcome(kb.name, job)


@st.fragment(run_every=LOOK_S)
def _progress(job_id: str) -> None:
    try:
        job = api().job(job_id)
    except ClientError as exc:
        explain(exc)  # the next look may succeed
        return
    if not job.running:
        st.rerun()
    with st.container(key="job", border=True):
        st.markdown(f"**{t(f'job.{job.kind}' if f'job.{job.kind}' in WORDS else 'job.other')}**")
        st.progress(min(1.0, job.done / job.total) if job.total else 0.0, text=plain(progress_words(job)))
        _failures(job)
        if st.session_state.get("cancelling") == job_id:
            st.caption(t("job.cancelling"))
        else:
            st.button(t("job.cancel"), key="cancel_job", on_click=_cancel, args=(job_id,))


def progress_words(job: Job) -> str:
    """ "3 of 10 files · now: a.pdf · about 2 min left"."""
    if not job.total:
        return job.message or t("job.starting")
    parts = [t("job.progress", done=job.done, total=job.total)]
    if job.current:
        parts.append(t("job.current", file=job.current))
    if job.of_pages:
        parts.append(t("job.page", page=job.page, pages=job.of_pages))
    if job.left_s is not None:
        parts.append(t("job.left", time=duration(language(), job.left_s)))
    return " · ".join(parts)


def _outcome(kb: str, job: Job) -> None:
    with st.container(key="job", border=True):
        if job.state == "done":
            words = t("job.state_done", good=job.total - len(job.failed), total=job.total, time=duration(language(), job.seconds))
            st.markdown(plain(f"{words} {t('job.unchanged', count=job.unchanged)}" if job.unchanged else words))
        elif job.state == "cancelled":
            st.markdown(plain(t("job.state_cancelled", done=job.done, total=job.total)))
        else:
            st.error(safe_markdown(t("job.state_failed", message=job.message or "?")))
        _failures(job)
        st.button(t("job.dismiss"), key="dismiss_job", type="tertiary", on_click=_followed().pop, args=(kb, None))


def _failures(job: Job) -> None:
    failed = {**st.session_state.get("refused_files", {}).get(job.id, {}), **job.failed}
    if not failed:
        return
    lines = [f"- **{plain(file)}** – {plain(reason)}" for file, reason in list(failed.items())[:FAILURES_LISTED]]
    if len(failed) > FAILURES_LISTED:
        lines.append("- " + t("docs.more", count=len(failed) - FAILURES_LISTED))
    st.markdown("\n".join([t("job.failures", count=len(failed)), "", *lines]))


def _cancel(job_id: str) -> None:
    try:
        api().cancel(job_id)
        st.session_state["cancelling"] = job_id
    except ClientError as exc:
        st.session_state["notice_error"] = exc


def _followed() -> dict[str, str]:
    """Library -> the job that this session follows."""
    followed: dict[str, str] = st.session_state.setdefault("followed_jobs", {})
    return followed
