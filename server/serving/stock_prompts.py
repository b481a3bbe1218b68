"""A chat for a worker that knows prompts only; in: the worker's conversation template and messages; out: a prompt and where to stop.

The templates are FastChat's, and so is the rendering; importing it costs 30 ms and no torch, and is done for the first such chat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from server.errors import BackendFailed, Invalid


def render(conversation: Mapping[str, Any], messages: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """`prompt`, `stop` and `stop_token_ids` as FastChat's own server would send them. Roles are system, user and assistant.

    FastChat gives models that it does not know the template `one_shot`, with an example of 440 tokens in it; those get it without.
    """
    from fastchat.conversation import Conversation, SeparatorStyle, get_conv_template

    try:
        conv = Conversation(**{**conversation, "messages": list(conversation["messages"])})
        conv.sep_style = SeparatorStyle(conv.sep_style)
    except (KeyError, TypeError, ValueError) as exc:
        raise BackendFailed(f"the worker's conversation template is not FastChat's: {exc!r}") from exc
    if conv.name == "one_shot":
        conv = get_conv_template("zero_shot")
    for message in messages:
        if message["role"] == "system":
            conv.set_system_message("\n".join(filter(None, (conv.system_message if _told(messages, message) else "", message["content"]))))
        else:
            conv.append_message(conv.roles[message["role"] == "assistant"], message["content"])
    conv.append_message(conv.roles[1], None)
    try:
        prompt = conv.get_prompt()
    except (AttributeError, TypeError, ValueError) as exc:
        raise Invalid(f"the template {conv.name!r} cannot show these messages: {exc}") from exc
    stops = [conv.stop_str] if isinstance(conv.stop_str, str) else list(conv.stop_str or ())
    return {"prompt": str(prompt), "stop": [stop for stop in stops if stop], "stop_token_ids": list(conv.stop_token_ids or ())}


def _told(messages: Sequence[Mapping[str, str]], message: Mapping[str, str]) -> bool:
    """Whether a system message stands before this one: the first replaces the template's own, further ones are added."""
    return next(each for each in messages if each["role"] == "system") is not message
