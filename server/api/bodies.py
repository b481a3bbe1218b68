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


class OldDocument(BaseModel):
    """A chunk as old clients write it: LangChain's Document."""

    model_config = ConfigDict(extra="ignore")

    page_content: str
    metadata: dict[str, Any] = {}


class EditBody(OldBody):
    """POST /knowledge_base/update_docs_by_id: chunk id -> what it is to be; an empty page_content removes the chunk."""

    knowledge_base_name: str
    docs: dict[int, OldDocument]


class InfoBody(OldBody):
    """POST /knowledge_base/update_info."""

    knowledge_base_name: str
    kb_info: str = Field(max_length=10_000)


class SplittingBody(OldBody):
    """How old clients want files to be split; what is not sent is left as it is."""

    knowledge_base_name: str
    chunk_size: int | None = None
    chunk_overlap: int | None = None
    zh_title_enhance: bool | None = None


class UpdateBody(SplittingBody):
    """POST /knowledge_base/update_docs. `docs` is JSON: file -> chunks of one's own."""

    file_names: list[str]
    override_custom_docs: bool = False
    docs: str = ""


class RecreateBody(SplittingBody):
    """POST /knowledge_base/recreate_vector_store."""

    vs_type: str = ""
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


class FeedbackBody(OldBody):
    """POST /chat/feedback."""

    message_id: str = Field(max_length=64)
    score: int = Field(0, ge=0, le=100)
    reason: str = Field("", max_length=10_000)


class TitleBody(BaseModel):
    """PUT /api/v1/conversations/{conversation}."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(min_length=1, max_length=1000)


class Turn(BaseModel):
    """One message of a history."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatBody(OldBody):
    """POST /chat/chat."""

    query: str
    conversation_id: str = Field("", max_length=64)
    history_len: int = -1
    history: list[Turn] | int = []
    stream: bool = False
    model_name: str | None = None
    temperature: float = Field(0.7, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1)
    prompt_name: str = "default"


class AskBody(OldBody):
    """What every question to a library brings."""

    query: str
    top_k: int = Field(3, ge=1, le=50)
    score_threshold: float = Field(1.0, ge=0, le=4)
    history: list[Turn] = []
    stream: bool = False
    model_name: str | None = None
    temperature: float = Field(0.7, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1)
    prompt_name: str = "default"
    depth: Literal["quotes", "fast", "careful"] | None = None


class PromptBody(OldBody):
    """POST /server/get_prompt_template."""

    type: Literal["llm_chat", "knowledge_base_chat"] = "llm_chat"
    name: str


class CompletionsBody(OldBody):
    """POST /other/completion."""

    query: str
    stream: bool = False
    echo: bool = False
    model_name: str | None = None
    temperature: float = Field(0.7, ge=0, le=2)
    max_tokens: int | None = Field(1024, ge=1)
    prompt_name: str = "default"


class EmbedBody(OldBody):
    """POST /other/embed_texts."""

    texts: list[str] = Field(max_length=2048)
    embed_model: str = ""
    to_query: bool = False


class LibraryChatBody(AskBody):
    """POST /chat/knowledge_base_chat."""

    knowledge_base_name: str | list[str]


class FileChatBody(AskBody):
    """POST /chat/file_chat. `knowledge_id` comes from upload_temp_docs."""

    knowledge_id: str


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
