"""Lines -> heading or not, and the tree of sections that headings open: shared by all readers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from server.language import CJK
from server.types import Block, Section

_KNOWN = re.compile(
    r"(?:abstract|summary|keywords|key words|index terms|introduction|background|related works?|preliminaries|methods?|methodology|"
    r"materials and methods|methods and materials|experiments?|experimental (?:setup|results)|evaluation|results?|results and discussions?|"
    r"discussions?|discussion and conclusions?|conclusions?|conclusions? and future works?|concluding remarks|future works?|limitations?|"
    r"acknowledge?ments?|references?|bibliography|literature cited|appendix|appendices|supplementary (?:materials?|information)|"
    r"data availability(?: statement)?|code availability|author contributions?|funding|conflicts? of interests?|competing interests|"
    r"declaration of competing interests?|ethics statement|statement of need|contents|table of contents|"
    r"authors?|author summary|highlights|annex(?:es)?|supporting (?:information|materials?)|supplementary data|nomenclature|notations?|"
    r"abbreviations|list of (?:symbols|abbreviations|figures|tables|algorithms)|glossary|(?:subject |author )?index|preface|foreword|"
    r"(?:code|data) and (?:code|data) availability(?: statement)?|declarations?|outlook|conclusions? and outlook|related literature|"
    r"zusammenfassung|einleitung|literaturverzeichnis|inhaltsverzeichnis|anhang|vorwort|danksagung(?:en)?|grundlagen|methodik|"
    r"methoden|ergebnisse|diskussion|fazit|ausblick|fazit und ausblick|schlussfolgerung(?:en)?|stand der (?:technik|forschung)|"
    r"(?:abbildungs|tabellen|abkürzungs|symbol|stichwort|quellen)verzeichnis|"
    r"摘\s*要|引\s*言|前\s*言|绪\s*论|关键词|相关工作|研究背景|背景|方法|研究方法|材料与方法|实验|实验结果|结果|结果与讨论|结果与分析|讨\s*论|"
    r"结\s*论|结论与展望|总\s*结|展望|局限性?|参考文献|引用文献|附\s*录|致\s*谢|目\s*录|基金项目|作者贡献|利益冲突|数据可用性(?:声明)?|代码可用性|伦理声明|"
    r"序\s*言|后\s*记|结\s*语|结束语|补充材料|符号说明|术语表|作者简介|声\s*明|文献综述|理论基础|研究设计|实证分析|实证结果)"
    r"\s*[:：.]?$",
    re.IGNORECASE,
)
REFERENCES = re.compile(
    r"^(?:[\dIVX.]*\s*)(?:references?(?: and notes)?|bibliography|literature cited|works cited|literatur(?:verzeichnis)?|"
    r"参\s*考\s*文\s*献|引用文献)\s*[:：.]?$",
    re.IGNORECASE,
)
_DECIMAL = re.compile(rf"((?:S?\d{{1,2}}|[A-Z])(?:\.\d{{1,2}}){{0,4}})([.．、]?)\s*(?=[^\W\d_]|[{CJK}“\"(（])")
_ROMAN = re.compile(r"(?=[IVX])(?:X{0,2}(?:IX|IV|V?I{0,3}))\.\s+(?=[^\W\d_])")
_CHAPTER = re.compile(r"(?:chapter|part|kapitel|teil|chapitre)\s+(?:\d{1,2}|[IVX]{1,5})\b(?!\.\d)", re.IGNORECASE)
_CHINESE_CHAPTER = re.compile(r"第\s*[一二三四五六七八九十百\d]+\s*([章节節篇部])")
_CHINESE_NUMBER = re.compile(r"[一二三四五六七八九十]{1,3}\s*[、．.]")
_CHINESE_PAREN = re.compile(r"[（(]\s*[一二三四五六七八九十]{1,3}\s*[)）]")
_APPENDIX = re.compile(r"(?:appendix|anhang|附录)\s*[A-Z\d一二三四五六七八九十]?\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.。！!；;，,、]$")
_COUNTED = re.compile(r"[(（]?(?:(\d{1,3}(?:\.\d{1,3})*)|([一二三四五六七八九十]))(?:[.．、)）\s]+|$)")
MAX_HEADING = 160  # characters

Origin = Literal["printed", "guessed", "made up"]  # marked as a heading in the file; by its look or words; a file's name, a key


def number_level(text: str) -> int:
    """The level that a heading's own numbering says: "2.1 Data" -> 2, "一、" -> 1, "（一）" -> 2; 0 without a number."""
    if match := _CHINESE_CHAPTER.match(text):
        return 2 if match[1] in "节節" else 1
    if _CHINESE_NUMBER.match(text) or _ROMAN.match(text) or _APPENDIX.match(text) or _CHAPTER.match(text):
        return 1
    if _CHINESE_PAREN.match(text):
        return 2
    match = _DECIMAL.match(text)
    if not match or (match[1].isalpha() and (not match[2] or not text[match.end() - 1].isspace())):
        return 0
    if match[1][0] == "0" or (text[match.end() - 1] not in " .．、\u3000" and not _wide_next(text, match.end())):
        return 0
    return match[1].count(".") + 1


def is_known(text: str) -> bool:
    """Whether this is a heading that papers write without a number ("Abstract", "参考文献")."""
    return _KNOWN.match(text.strip()) is not None


def heading_level(text: str) -> int:
    """The level of a line that stands alone in plain text, 0 when it is no heading."""
    text = text.strip()
    if not text or len(text) > MAX_HEADING or "\n" in text:
        return 0
    if is_known(text):
        return 1
    if _SENTENCE_END.search(text) or len(text) > 80:
        return 0
    return number_level(text)


def _wide_next(text: str, at: int) -> bool:
    return at < len(text) and re.match(f"[{CJK}“（]", text[at]) is not None


@dataclass(slots=True)
class _Opened:
    level: int
    title: str
    page: int
    origin: Origin = "printed"
    blocks: list[Block] = field(default_factory=list)


class Outline:
    """Collects headings and blocks in reading order and gives them back as sections with their paths."""

    def __init__(self) -> None:
        self._opened: list[_Opened] = []

    def open(self, level: int, title: str, page: int, origin: Origin = "printed") -> None:
        """Begin a section at `level` (from 1) under the nearest open one above it.

        A guessed heading with nothing below it, as items of a numbered list look, will be a paragraph of the section before.
        """
        self._opened.append(_Opened(level, title, page, origin))

    def add(self, block: Block) -> None:
        """Put a block under the last heading; before any heading, under none (level 0, empty path)."""
        if not self._opened:
            self._opened.append(_Opened(0, "", block.page))
        self._opened[-1].blocks.append(block)

    def sections(self) -> tuple[Section, ...]:
        """Everything so far."""
        made: list[Section] = []
        above: list[tuple[int, str]] = []
        for opened in _settled(self._opened):
            while above and above[-1][0] >= opened.level:
                above.pop()
            if opened.level:
                above.append((opened.level, opened.title))
            made.append(Section(opened.level, tuple(title for _, title in above), opened.page, tuple(opened.blocks)))
        return tuple(made)

    def leaves(self) -> list[int]:
        """The places in `sections` of printed headings with nothing below them, not even a deeper heading, that say something of
        their own ("References" alone does not).
        """
        settled = _settled(self._opened)
        return [
            at
            for at, opened in enumerate(settled)
            if opened.level
            and opened.origin == "printed"
            and not opened.blocks
            and not is_known(opened.title)
            and (at + 1 == len(settled) or settled[at + 1].level <= opened.level)
        ]


def _settled(opened: Sequence[_Opened]) -> Sequence[_Opened]:
    """With guessed headings that have nothing below them as paragraphs of the section before, and the last item of their list too."""
    listed: set[int] = set()
    for known in (False, True):  # what stands below "References" may be a list itself
        listed |= {
            at
            for at, heading in enumerate(opened)
            if heading.origin == "guessed" and is_known(heading.title) == known and _is_bare(opened, at, listed)
        }
    if not listed:
        return opened
    settled: list[_Opened] = []
    for at, heading in enumerate(opened):
        if at not in listed and not (at - 1 in listed and _ends_list(opened, at)):
            settled.append(replace(heading, blocks=list(heading.blocks)))
            continue
        if not settled:
            settled.append(_Opened(0, "", heading.page))
        settled[-1].blocks += [Block("paragraph", heading.title, heading.page), *heading.blocks]
    return settled


def _is_bare(opened: Sequence[_Opened], at: int, listed: set[int]) -> bool:
    """Whether nothing stands between this heading and the next one that is no deeper; what is in `listed` counts as text."""
    if opened[at].blocks:
        return False
    for number in range(at + 1, len(opened)):
        below = opened[number]
        if number in listed:
            return False
        if below.level <= opened[at].level:
            return True
        if below.blocks or below.origin == "printed":
            return False
    return True


def _ends_list(opened: Sequence[_Opened], at: int) -> bool:
    """Whether a guessed heading with text below it counts on from the one before, and none counts on from it."""
    if opened[at].origin != "guessed" or not _counts_on(opened[at - 1].title, opened[at].title):
        return False
    name = opened[at].title
    count = _COUNTED.match(name)
    later = next((other for other in opened[at + 1 :] if other.level <= opened[at].level), None)
    return not is_known(name[count.end() :] if count else name) and not (later and _counts_on(name, later.title))


def _counts_on(title: str, following: str) -> bool:
    one, other = _count(title), _count(following)
    return bool(one) and len(one) == len(other) and one[:-1] == other[:-1] and one[-1] + 1 == other[-1]


def _count(title: str) -> list[int]:
    """ "2.1 Data" -> [2, 1], "三、数据" -> [3]; empty without a number."""
    match = _COUNTED.match(title)
    if not match:
        return []
    return list(map(int, match[1].split("."))) if match[1] else ["一二三四五六七八九十".index(match[2]) + 1]
