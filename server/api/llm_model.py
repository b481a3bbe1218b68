"""The /llm_model routes of Chatchat 0.2 clients, and /api/v1/llms: which models there are and run; starting, stopping, changing them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response

from server.api.bodies import ChangeModelBody, ListModelsBody, ModelBody
from server.api.knowledge_base import runtime_of
from server.api.responses import Envelope
from server.errors import ModelNotFound, PaperError
from server.llm import chat_model
from server.runtime import Runtime

router = APIRouter(tags=["LLM Model Management"])


@router.post("/llm_model/list_running_models")
def list_running_models(request: Request) -> Envelope:
    """Models that can be asked now, local and online, with their configuration."""
    runtime = runtime_of(request)
    names = chat_model.running(runtime.settings, runtime.keys)
    return Envelope(data={name: _config(runtime, name) for name in names})


@router.post("/llm_model/list_config_models")
def list_config_models(request: Request, body: ListModelsBody) -> Envelope:
    """Models that the settings know, by type."""
    runtime = runtime_of(request)
    kinds = {name: "local" if name in runtime.settings.llm.local else "online" for name in chat_model.names(runtime.settings)}
    return Envelope(data={kind: {name: _config(runtime, name) for name in kinds if kinds[name] == kind} for kind in body.types})


@router.post("/llm_model/get_model_config")
def get_model_config(request: Request, body: ModelBody) -> Envelope:
    """Everything about a model but secrets."""
    return Envelope(data=_config(runtime_of(request), body.model_name))


@router.post("/llm_model/stop")
def stop_model(request: Request, body: ModelBody) -> Envelope:
    """The model's worker has ended. Old clients know no other code of failure than 500."""
    try:
        runtime_of(request).control.stop(body.model_name)
    except PaperError as exc:
        return Envelope(code=500, msg=f"failed to stop LLM model {body.model_name}: {exc}")
    return Envelope(msg=f"{body.model_name} is stopped")


@router.post("/llm_model/change")
def change_model(request: Request, body: ChangeModelBody) -> Envelope:
    """One model runs instead of the other; when the new one does not load, the old one is back and the message says why."""
    try:
        runtime_of(request).control.change(body.model_name, body.new_model_name)
    except PaperError as exc:
        return Envelope(code=500, msg=f"failed to change LLM model {body.model_name} to {body.new_model_name}: {exc}")
    return Envelope(msg=f"{body.new_model_name} runs instead of {body.model_name}")


@router.get("/api/v1/llms")
def llms(request: Request) -> dict[str, Any]:
    """Local models with the state of their workers (none without startup.py), and online endpoints with that of their keys."""
    runtime = runtime_of(request)
    local = runtime.control.states() if runtime.control.there else []
    online = {label: [asdict(key) for key in keys] for label, keys in runtime.keys.state().items()}
    endpoints = [
        {"name": label, "models": endpoint.models, "base_url": endpoint.base_url, "keys": online.get(label, [])}
        for label, endpoint in runtime.settings.llm.endpoints.items()
    ]
    return {"default": runtime.settings.llm.default, "local": local, "endpoints": endpoints}


@router.post("/api/v1/llms/{name:path}/start", status_code=204)
def start_llm(request: Request, name: str) -> Response:
    """Answers when the model can be asked; 404, 409 and 503 say why not."""
    runtime_of(request).control.start(name)
    return Response(status_code=204)


@router.post("/api/v1/llms/{name:path}/stop", status_code=204)
def stop_llm(request: Request, name: str) -> Response:
    """Answers when its worker has ended."""
    runtime_of(request).control.stop(name)
    return Response(status_code=204)


def _config(runtime: Runtime, name: str) -> dict[str, Any]:
    """Raises ModelNotFound."""
    settings = runtime.settings
    if name in settings.llm.local:
        return {"online_api": False, **settings.llm.local[name].model_dump(mode="json")}
    for label, endpoint in settings.llm.endpoints.items():
        if name in endpoint.models:
            keys = [asdict(key) for key in runtime.keys.state().get(label, ())]
            return {"online_api": True, "endpoint": label, **endpoint.model_dump(mode="json", exclude={"models"}), "keys": keys}
    raise ModelNotFound(f"no model {name!r}; known: {', '.join(chat_model.names(settings))}")
