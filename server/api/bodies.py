"""Request bodies of port 7861. Old routes ignore unknown fields as the old server did, but refuse `controller_address`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class OldBody(BaseModel):
    """A body of an old route."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _no_controller(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("controller_address"):
            raise ValueError("controller_address is refused: the server asks only the controller of its own settings")
        return values


class CreateBody(OldBody):
    """POST /knowledge_base/create_knowledge_base."""

    knowledge_base_name: str
    vector_store_type: str = "faiss"
    embed_model: str = ""


class SearchBody(OldBody):
    """POST /knowledge_base/search_docs. `score_threshold` is squared L2: 0..4, smaller is closer."""

    query: str = ""
    knowledge_base_name: str
    top_k: int = Field(3, ge=1, le=200)
    score_threshold: float = Field(1.0, ge=0, le=4)
    file_name: str = ""
    metadata: dict[str, Any] = {}


class ModelBody(OldBody):
    """POST /llm_model/get_model_config, /llm_model/stop."""

    model_name: str


class ChangeModelBody(ModelBody):
    """POST /llm_model/change."""

    new_model_name: str


class ListModelsBody(OldBody):
    """POST /llm_model/list_config_models."""

    types: list[Literal["local", "online"]] = ["local", "online"]


class Turn(BaseModel):
    """One message of a history."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatBody(OldBody):
    """POST /chat/chat."""

    query: str
    conversation_id: str = ""
    history_len: int = -1
    history: list[Turn] | int = []
    stream: bool = False
    model_name: str | None = None
    temperature: float = Field(0.7, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1)
    prompt_name: str = "default"


class LibraryChatBody(OldBody):
    """POST /chat/knowledge_base_chat."""

    query: str
    knowledge_base_name: str | list[str]
    top_k: int = Field(3, ge=1, le=50)
    score_threshold: float = Field(1.0, ge=0, le=4)
    history: list[Turn] = []
    stream: bool = False
    model_name: str | None = None
    temperature: float = Field(0.7, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1)
    prompt_name: str = "default"
    depth: Literal["quotes", "fast", "careful"] | None = None


class JobBody(BaseModel):
    """POST /api/v1/libraries/{kb}/jobs."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["increment", "rebuild"] = "increment"
    create: bool = False


class OpenAIMessage(BaseModel):
    """One message of an OpenAI chat; content may be a list of parts."""

    role: str
    content: str | list[dict[str, Any]] | None = None

    def text(self) -> str:
        """The text parts, joined."""
        if isinstance(self.content, list):
            return "".join(str(part.get("text", "")) for part in self.content if part.get("type") in ("text", "input_text"))
        return self.content or ""


class CompletionBody(BaseModel):
    """POST /api/v1/chat/completions; unknown parameters are ignored."""

    model: str
    messages: list[OpenAIMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    n: int | None = Field(None, ge=1, le=1)
    depth: Literal["quotes", "fast", "careful"] | None = None
    top_k: int | None = None

    @field_validator("top_k", mode="before")
    @classmethod
    def _of_another_meaning(cls, value: Any) -> Any:
        """Other clients send a sampler's top_k under this name: what cannot be a number of passages is ignored."""
        return value if isinstance(value, int) and 1 <= value <= 50 else None


class EmbeddingsBody(BaseModel):
    """POST /api/v1/embeddings; token arrays are read to be refused with the way out."""

    input: str | list[str] | list[int] | list[list[int]]
    model: str = ""
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
