"""Lines -> heading or not, and the tree of sections that headings open: shared by all readers."""

from __future__ import annotations

import re

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
MAX_HEADING = 160  # characters


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


class Outline:
    """Collects headings and blocks in reading order and gives them back as sections with their paths."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []
        self._done: list[tuple[int, tuple[str, ...], int, list[Block]]] = []

    def open(self, level: int, title: str, page: int) -> None:
        """Begin a section at `level` (from 1) under the nearest open one above it."""
        while self._open and self._open[-1][0] >= level:
            self._open.pop()
        self._open.append((level, title))
        self._done.append((level, tuple(name for _, name in self._open), page, []))

    def add(self, block: Block) -> None:
        """Put a block under the last heading; before any heading, under none (level 0, empty path)."""
        if not self._done:
            self._done.append((0, (), block.page, []))
        self._done[-1][3].append(block)

    def sections(self) -> tuple[Section, ...]:
        """Everything so far."""
        return tuple(Section(level, path, page, tuple(blocks)) for level, path, page, blocks in self._done)
