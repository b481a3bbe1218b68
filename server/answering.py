"""A question to a library -> Token … Answer. Depth `quotes` needs no language model; `fast` asks one, once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from configs.settings import Settings
from server.errors import Invalid
from server.language import language_of
from server.llm import chat_model, prompts
from server.llm.keys.of_settings import Keys
from server.llm.keys.outgoing import TEMPLATE_TOKENS
from server.llm.prompts import Prompt
from server.llm.tokens import MESSAGE_TOKENS, counter
from server.memory import remembered
from server.proving import Proof
from server.quoting import quotes
from server.refusal import supported
from server.retrieval import Library, retrieve
from server.retrieval.context import widened
from server.retrieval.reranking import Reranker
from server.stopping import Stop
from server.stores.words import question_terms
from server.types import Answer, Citation, Depth, Language, Message, Passage, Token

POOL_PASSAGES = 10  # passages whose sentences are compared in depth `quotes`
FEW_TERMS = 3  # a question with fewer, after another one, may be a follow-up
_POINTS_BACK = re.compile(  # English needs such a word to mean what was said before; Chinese drops it
    r"^(?:and|but|so|or|why|how|then|what about)\b|[\u3400-\u9fff]|"
    r"\b(?:it|its|they|them|their|this|that|these|those|he|she|his|her|both|same|former|latter|else|there|another|others?)\b",
    re.IGNORECASE,
)
NEAREST = 3  # passages shown when the library does not support an answer

SUMMARY_TOKENS = 200  # of what came before the messages that are remembered word by word
_SUMMARISE = {
    "en": "Summarise our conversation so far in at most five sentences. Keep every number and name.",
    "zh": "用不超过五句话总结我们到目前为止的对话，保留所有数字和名称。",
}
_LEAD = {"zh": "知识库中的原文：", "en": "The library says:", "other": "The library says:"}
_REFUSAL = {
    "zh": "知识库中没有这个问题的答案。",
    "en": "The library does not answer this.",
    "other": "The library does not answer this.",
}
_NEAREST = {"zh": "最接近的段落：", "en": " The closest passages:", "other": " The closest passages:"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with what goes with it."""

    question: str
    history: tuple[Message, ...] = ()
    depth: Depth | None = None
    model: str | None = None
    top_k: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    stop: Stop = field(default_factory=Stop)
    prompt: str = "default"


def depth_of(settings: Settings, asked: Asked) -> Depth:
    """The depth that will be used: the request's, else the setting's, else by the size of the model. Raises Invalid."""
    if asked.depth == "careful":
        raise Invalid("depth 'careful' is not available yet; use quotes or fast")
    if asked.depth:
        return asked.depth
    if settings.answering.depth != "auto":
        return settings.answering.depth
    return "quotes" if chat_model.is_small(settings, asked.model or settings.llm.default) else "fast"


def answer(
    libraries: Sequence[Library],
    settings: Settings,
    asked: Asked,
    reranker: Reranker | None = None,
    keys: Keys | None = None,
) -> Iterator[Token | Answer]:
    """The answer of one library or several as it grows, then whole. `keys` are as in `chat_model.stream`.

    Raises Invalid on an empty question, and what retrieval and the model raise.
    """
    question = asked.question.encode("utf-8", "replace").decode().strip()  # half a surrogate pair is no text
    if not question:
        raise Invalid("the question is empty")
    depth = depth_of(settings, asked)
    top_k = asked.top_k or settings.retrieval.top_k
    needle = _with_subject(question, asked.history)
    passages = retrieve(libraries, needle, settings.retrieval, top_k=max(top_k, POOL_PASSAGES), reranker=reranker)
    asked.stop.check()
    language = language_of(question)
    refused = not supported([kb for kb, _ in libraries], needle, passages)
    cited = quotes(libraries, needle, passages) if refused or depth == "quotes" else ()
    asked.stop.check()
    if refused or (depth == "quotes" and not cited):
        lead = _REFUSAL[language] + (_NEAREST[language] if cited else "")
        yield from _whole(lead, cited[:NEAREST], passages[:top_k], True, depth)
    elif depth == "quotes":
        yield from _whole(_LEAD[language], cited, passages[:top_k], False, depth)
    else:
        homes = {kb.name: kb for kb, _ in libraries}
        read = widened(passages[:top_k], settings.retrieval.context, lambda p, most: homes[p.kb].catalog.around(p.kb, p.chunk_id, most))
        own = libraries[0][0].folder / "prompts.yaml" if len(libraries) == 1 else None  # several may want several things
        prompt = prompts.named("knowledge_base_chat", asked.prompt, own)
        yield from _written(settings, asked, prompt, question, read, depth, keys)


def _with_subject(question: str, history: Sequence[Message]) -> str:
    """A question too short to search for ("Why?", "And its limits?") with the one before it, which says what it is about."""
    before = next((message.content for message in reversed(history) if message.role == "user"), "")
    terms = len(question_terms(question))
    follows = terms < 2 or (terms < FEW_TERMS and _POINTS_BACK.search(question.strip()) is not None)
    return f"{before} {question}" if before and follows else question


def _whole(lead: str, cited: Sequence[Citation], passages: Sequence[Passage], refused: bool, depth: Depth) -> Iterator[Token | Answer]:
    parts = [lead, *(f"\n\n“{c.quote}” [{c.index}]" for c in cited)]
    for part in parts:
        yield Token(part)
    yield Answer("".join(parts), tuple(cited), tuple(passages), refused, depth, None)


def _written(
    settings: Settings, asked: Asked, prompt: Prompt, question: str, passages: Sequence[Passage], depth: Depth, keys: Keys | None
) -> Iterator[Token | Answer]:
    name = asked.model or settings.llm.default
    local = settings.llm.local.get(name)
    max_tokens = asked.max_tokens or settings.llm.max_tokens
    context = local.context_tokens if local else 32_000
    count = counter(settings, name).text
    language = language_of(question)
    history = _remembered(settings, asked, name, language, count, keys)
    messages, used = prompts.library_messages(
        prompt,
        question,
        history,
        passages,
        language,
        budget_tokens=max(256, context - max_tokens - TEMPLATE_TOKENS - MESSAGE_TOKENS * (len(history) + 2)),
        count=count,
    )
    temperature = settings.llm.temperature if asked.temperature is None else asked.temperature
    proof, prompt_tokens, completion_tokens, reason = Proof(used), 0, 0, "stop"
    words = chat_model.stream(settings, name, messages, temperature=temperature, max_tokens=max_tokens, stop=asked.stop, keys=keys)
    for piece in words:
        prompt_tokens = max(prompt_tokens, piece.prompt_tokens)
        completion_tokens = max(completion_tokens, piece.completion_tokens)
        reason = piece.finish_reason or reason
        if shown := proof.feed(piece.text):
            yield Token(shown)
    if rest := proof.finish():
        yield Token(rest)
    yield Answer(proof.text, proof.citations, tuple(used), False, depth, name, prompt_tokens, completion_tokens, reason)


def _remembered(
    settings: Settings, asked: Asked, name: str, language: Language, count: Callable[[str], int], keys: Keys | None
) -> list[Message]:
    """What the model is told of the conversation, as the settings say."""
    how, tongue = settings.answering, "zh" if language == "zh" else "en"

    def summarise(older: Sequence[Message]) -> str:
        told = [*older, Message("user", _SUMMARISE[tongue])]
        words = chat_model.stream(settings, name, told, temperature=0.0, max_tokens=SUMMARY_TOKENS, stop=asked.stop, keys=keys)
        return "".join(piece.text for piece in words).strip()

    turns, tokens = how.memory_turns, how.memory_tokens
    return remembered(how.memory, asked.history, turns=turns, tokens=tokens, count=count, summarise=summarise, language=tongue)
