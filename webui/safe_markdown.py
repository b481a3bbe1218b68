"""Text of models and papers in, Markdown that cannot load, link or run anything out.

Safe by construction: all punctuation is escaped first, and only a few harmless marks are given back: bold, italics, code, lists,
quotes, tables, plain formulas. Addresses become code, since Streamlit links them even when they are escaped.
"""

from __future__ import annotations

import re

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f\u200b\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff]")  # invisible, or turn text around
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]*://|www\.)[!-~]+|[-.\w+]+@[-\w]+(?:\.[-\w]+)+", re.IGNORECASE)
_INLINE = re.compile(
    r"(?P<ticks>`+)(?P<code>(?:(?!(?P=ticks))[^\n])+)(?P=ticks)(?!`)"
    r"|\$(?P<math>[^\s$](?:[^$\n]{0,300}[^\s$\\])?)\$(?!\d)"
    r"|\*\*(?P<bold>[^\s*](?:[^*\n]*[^\s*])?)\*\*"
    r"|\*(?P<italic>[^\s*](?:[^*\n]*[^\s*])?)\*"
)
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*([A-Za-z0-9+#-]*)[^`]*$")
_ITEM = re.compile(r"^([ \t]*)([-*+]|\d{1,9}[.)])[ \t]+(.*)$")
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.*?)[ \t#]*$")
_QUOTE = re.compile(r"^ {0,3}>[ \t]?(.*)$")
_ROW = re.compile(r"^ {0,3}\|(.*)\|[ \t]*$")
_RULER = re.compile(r"^[ \t]*:?-{1,}:?[ \t]*$")
_COMMAND = re.compile(r"\\([A-Za-z]+|.)", re.DOTALL)

# Formulas are shown only when they use nothing else: no \href, \url, \includegraphics, \html…, \def, and no size tricks.
_WORDS = (
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi varphi "
    "chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega frac dfrac tfrac sqrt sum prod int lim log ln exp max min arg "
    "sup inf sin cos tan cdot cdots ldots dots times div pm mp le leq ge geq ne neq approx sim equiv propto in notin subset subseteq "
    "cup cap forall exists to rightarrow leftarrow Rightarrow infty partial nabla left right lVert rVert vert Vert langle rangle "
    "mathbf mathrm mathbb mathcal text hat bar tilde vec top mid ell quad , ; : ! { } | % _ & "
)
_COMMANDS = frozenset(_WORDS.split())


def plain(text: str) -> str:
    """Markdown that shows `text` exactly, on one line: for labels, titles and file names."""
    return _escaped(" ".join(_clean(text).split()))


def visible(text: str) -> str:
    """`text` without characters that hide or turn around other text; for places that take no Markdown."""
    return _clean(text)


def safe_markdown(text: str) -> str:
    """Markdown that shows `text` with its emphasis, lists, code, tables and plain formulas, and nothing that loads or leads away."""
    out: list[str] = []
    fence = ""  # what closes the code block we are in
    in_list = in_table = False
    lines = _clean(text).split("\n")
    for position, line in enumerate(lines):
        if fence:
            if line.strip() and set(line.strip()) == {fence[0]} and len(line.strip()) >= len(fence):
                out.append(fence)
                fence = ""
            else:
                out.append(line)
            continue
        if opening := _FENCE.match(line):
            fence = opening[1]
            out.append(fence + opening[2])
            continue
        if row := _ROW.match(line):
            if not in_table:  # a row is a table only with a ruler below it
                in_table = position + 1 < len(lines) and _is_ruler(lines[position + 1])
            if in_table:
                out.append(line.strip() if _is_ruler(line) else "|" + "|".join(_inline(cell) for cell in row[1].split("|")) + "|")
                continue
        in_table = False
        out.append(_line(line, in_list))
        in_list = bool(_ITEM.match(line)) or (in_list and line[:1] in (" ", "\t", ""))
    if fence:
        out.append(fence)
    return "\n".join(out)


def _line(line: str, in_list: bool) -> str:
    if item := _ITEM.match(line):
        indent = item[1].expandtabs(4) if in_list else ""  # deeper than its list it would become a code block
        mark = item[2] if item[2] not in "*+" else "-"
        return f"{indent}{mark} {_inline(item[3])}"
    if heading := _HEADING.match(line):
        return f"**{_escaped(heading[1].replace('*', ''))}**" if heading[1] else ""
    if quoted := _QUOTE.match(line):
        return f"> {_inline(quoted[1].lstrip())}"
    indent = line[: len(line) - len(line.lstrip())].expandtabs(4)
    return (indent if in_list else "") + _inline(line.strip())


def _is_ruler(line: str) -> bool:
    row = _ROW.match(line)
    return row is not None and all(_RULER.match(cell) for cell in row[1].split("|"))


def _inline(text: str) -> str:
    out: list[str] = []
    end = 0
    for match in _INLINE.finditer(text):
        out.append(_escaped(text[end : match.start()]))
        end = match.end()
        if match["code"] is not None:
            out.append(_code(match["code"]))
        elif match["math"] is not None:
            out.append(match[0] if _is_harmless(match["math"]) else _escaped(match[0]))
        elif match["bold"] is not None:
            out.append(f"**{_escaped(match['bold'])}**")
        else:
            out.append(f"*{_escaped(match['italic'])}*")
    out.append(_escaped(text[end:]))
    return "".join(out)


def _is_harmless(formula: str) -> bool:
    return "`" not in formula and not _ADDRESS.search(formula) and all(command in _COMMANDS for command in _COMMAND.findall(formula))


def _escaped(text: str) -> str:
    """Every ASCII punctuation mark behind a backslash; addresses as code."""
    out: list[str] = []
    end = 0
    for match in _ADDRESS.finditer(text):
        out.append(_PUNCTUATION.sub(r"\\\1", text[end : match.start()]))
        out.append(_code(match[0]))
        end = match.end()
    out.append(_PUNCTUATION.sub(r"\\\1", text[end:]))
    return "".join(out)


def _code(text: str) -> str:
    """A code span around any text: its fence is longer than every run of backticks inside."""
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def _clean(text: str) -> str:
    return _CONTROLS.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
