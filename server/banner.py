"""The banner; in: the plan, what became of the parts, the API's status; out: the text that startup.py prints once."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, version
from platform import python_version

import httpx2
from pydantic import BaseModel, ValidationError

from configs.settings import ROOT, Settings, settings_file
from server.launch import Plan
from server.parts import Report

PACKAGES = {"langchain": "langchain", "fastchat": "fschat", "faiss": "faiss-cpu", "torch": "torch"}
RULE = "─" * 100


class LlmStatus(BaseModel):
    """The language model as the API sees it."""

    name: str
    kind: str = "local"
    engine: str | None = None
    small: bool = False
    running: bool | None = None


class EmbeddingStatus(BaseModel):
    """The embedding model as the API loaded it."""

    name: str
    state: str = "loading"
    device: str | None = None
    dtype: str | None = None
    dimension: int | None = None
    error: str | None = None
    max_tokens: int | None = None
    pooling: str | None = None
    query_prefix: str = ""
    passage_prefix: str = ""
    usage_from: str = ""


class Status(BaseModel):
    """GET /api/v1/status."""

    llm: LlmStatus | None = None
    embedding: EmbeddingStatus
    reranker: str | None = None
    depth: str = ""


def read_status(http: httpx2.Client) -> Status | None:
    """What the API says of itself; None when it does not answer with that."""
    try:
        answer = http.get("/api/v1/status")
        return Status.model_validate(answer.json()) if answer.status_code == 200 else None
    except (httpx2.HTTPError, ValidationError, ValueError):
        return None


def banner(plan: Plan, reports: list[Report], status: Status | None) -> str:
    """The whole text; one line when the plan is quiet."""
    if plan.quiet:
        up = [f"{report.name} {report.address}" for report in reports if report.state == "ready"]
        return f"PaperProof is up: {', '.join(up)}" if up else "PaperProof: no part is up"
    lines = [
        RULE,
        f" PaperProof {own_version()}   Python {python_version()}   {_packages()}",
        RULE,
        f" Profile   配置   {plan.settings.profile}",
        f" LLM       模型   {_llm(plan, reports, status)}",
        f" Embedding 向量   {_embedding(plan.settings, status)}",
        *([f" Reranker  重排   {plan.settings.retrieval.reranker}"] if plan.settings.retrieval.reranker else []),
        "",
        *_parts(plan, reports),
        "",
        " Better models 换用更好的模型",
        f"   m3e-base + chatglm2-6b, on a GPU with 13 GB: in {_short_settings()} write `profile: gpu`, or the two lines",
        "       llm: {default: chatglm2-6b}",
        "       embedding: {model: m3e-base}",
        "   an OpenAI endpoint 在线模型: in .env write the two lines",
        "       PAPERPROOF_PROFILE=online",
        "       OPENAI_API_KEY=sk-…",
        "",
        f" Logs 日志: {plan.settings.paths.logs}     Stop 停止: Ctrl-C",
        RULE,
    ]
    return "\n".join(lines)


def own_version() -> str:
    """The version of this checkout."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def _packages() -> str:
    """From the packages' metadata: importing torch for its number would take seconds."""
    found = []
    for name, distribution in PACKAGES.items():
        try:
            found.append(f"{name} {version(distribution)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return "   ".join(found)


def _llm(plan: Plan, reports: list[Report], status: Status | None) -> str:
    settings = plan.settings
    if status is None or status.llm is None:
        name = settings.llm.default
        running = next((report for report in reports if report.name == f"worker {name}"), None)
        return f"{name}, as configured" + (f"; worker {running.state} at {running.address}" if running else "")
    llm = status.llm
    if llm.kind == "online":
        endpoint = next((endpoint for endpoint in settings.llm.endpoints.values() if llm.name in endpoint.models), None)
        return f"{llm.name}, online 在线" + (f" at {endpoint.base_url}" if endpoint else "")
    own = next((report for report in reports if report.name == f"worker {llm.name}"), None)
    serves = own.state == "ready" if own else llm.running
    place = f"worker {own.address}" if own else f"a worker behind {plan.controller}"
    where = f"{llm.engine or 'local'}, {place}" if serves else "not running 未运行: answers are quotes from the papers"
    demo = f" (demo model 演示模型: {status.depth or 'quotes'} depth)" if llm.small else ""
    return f"{llm.name}{demo}, {where}"


def _embedding(settings: Settings, status: Status | None) -> str:
    if status is None:
        return f"{settings.embedding.model}, as configured"
    embedding = status.embedding
    if embedding.state != "ready":
        return f"{embedding.name}: {embedding.state}" + (f": {embedding.error}" if embedding.error else "")
    facts = [embedding.device, embedding.dtype, f"{embedding.dimension} dimensions" if embedding.dimension else None]
    known = ", ".join([embedding.name, *filter(None, facts)])
    if not embedding.usage_from:
        return known
    both = embedding.query_prefix or embedding.passage_prefix
    prefixes = f"{embedding.query_prefix!r} for questions, {embedding.passage_prefix!r} for passages" if both else "none"
    said = f"{known}, {embedding.max_tokens} tokens, pooling {embedding.pooling}"
    return f"{said}\n Prefixes  前缀   {prefixes} (said by {embedding.usage_from})"


def _parts(plan: Plan, reports: list[Report]) -> list[str]:
    width = max(len(report.name) for report in reports)
    address_width = max(len(report.address) for report in reports)
    lines = []
    for report in reversed(reports):  # the web UI first: it is what people look for
        start = f"{report.name:<{width}}  {report.address:<{address_width}}"
        if report.state == "ready":
            lines.append(f" ✓ {start}  ready in {report.seconds or 0:.1f} s")
        else:
            lines.append(f" ✗ {start}  {report.state}: {report.reason}")
            if str(report.log) not in report.reason:
                lines.append(f"   {'':<{width}}  log: {report.log}")
    if plan.models and "controller" not in plan.kinds:
        lines.append(f"   {'controller':<{width}}  {plan.controller}   elsewhere")
    return lines


def _short_settings() -> str:
    path = settings_file()
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
