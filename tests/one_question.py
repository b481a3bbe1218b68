"""Ask a running stack one real question, as `.ci/run` does: python tests/one_question.py GATEWAY_URL UI_URL PATIENCE_S."""

from __future__ import annotations

import sys
import time
from typing import Any

import httpx2
import openai

QUESTION = "Below which baseline does reciprocal rank fusion fall, and on which collections?"
EVIDENCE = ("hybrid-retrieval-fusion.pdf", 2)


def ask(gateway: str, patience_s: float) -> Any:
    """The message that answers QUESTION; waits for the stack to start and the samples to be ingested."""
    client = openai.OpenAI(base_url=gateway, api_key="none", max_retries=0)
    deadline = time.monotonic() + patience_s
    while True:
        try:
            message = (
                client.chat.completions.create(model="kb/samples", messages=[{"role": "user", "content": QUESTION}]).choices[0].message
            )
            if any((c["file"], c["page"]) == EVIDENCE for c in message.citations):  # type: ignore[attr-defined]  # our own field
                return message
            reason = f"the evidence is not cited yet: {message.content}"
        except openai.APIError as exc:
            reason = str(exc)
        if time.monotonic() > deadline:
            raise SystemExit(f"no cited answer in {patience_s:g} s: {reason}")
        time.sleep(1)


def main() -> int:
    """0 when the answer cites the evidence, the LLM answers by name, and the UI is there."""
    gateway, ui, patience_s = sys.argv[1], sys.argv[2], float(sys.argv[3])
    message = ask(gateway, patience_s)
    client = openai.OpenAI(base_url=gateway, api_key="none")
    names = [model.id for model in client.models.list()]
    llm = "smollm2-135m-instruct"
    said = (
        client.chat.completions.create(model=llm, messages=[{"role": "user", "content": "Say hello."}], max_tokens=16)
        .choices[0]
        .message.content
    )
    page = httpx2.get(f"{ui}/_stcore/health", timeout=10)
    sys.stdout.write(f"models: {', '.join(names)}\n{llm}: {said}\nkb/samples: {message.content}\nui: {page.status_code}\n")
    return 0 if said and page.status_code == 200 and llm in names else 1


if __name__ == "__main__":
    sys.exit(main())
