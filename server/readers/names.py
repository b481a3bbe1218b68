"""A printed list of people -> their names: marks, degrees, e-mails and "and" gone; nothing when it is not a list of people."""

from __future__ import annotations

import re
import unicodedata

from server.language import CJK

LONGEST_NAME = 60  # characters
LONGEST_LIST = 20_000  # characters; a collaboration of a thousand names fits
_MARK = r"\d*∗＊⁎†‡§¶‖#✉⋆★☆¹²³⁰⁴-⁹⁺◦°♯♮□■◇◆✝¤\ufffd"
_MARKS = re.compile(rf"\s*[{_MARK}][)）]?(?:[\s,，]*[{_MARK}][)）]?)*")
_DROPPED = re.compile(
    r"\([^()]*\)|（[^（）]*）|\[[^\[\]]*\]|[\w.+-]+@[\w.-]+|\{[^{}]*\}@[\w.-]+|https?://\S+|\b\d{4}-\d{4}-\d{4}-\d{3}[\dX]\b"
    r"|(?<![\w.])(?:ID|iD|ORCID)(?![\w.])|(?:on behalf of|for|and) the .*|et\s+al\.?.*|^\s*(?:by|By|BY|von|von:|par|作\s*者\s*[:：])\s+"
    r"|^\s*(?:authors?|Authors?|AUTHORS?|Verfasser|作\s*者)\s*[:：]\s*|^\s*[•▪·–-]\s*"
)
_SPLIT = re.compile(r"(?:\s*[,;，；、|]|(?:^|(?<=[\s,]))[·•&/](?=\s)|(?:^|(?<=[\s,]))(?:and|And|AND|und|et|y|e|和|与|及)(?=\s))\s*")
_LETTER = re.compile(r"[a-z]")
_SUFFIX = re.compile(r"(?:Jr|Sr)\.?|I{2,3}|IV")
_DEGREE = re.compile(
    r"(?:Ph\.?\s?D|D\.?Phil|M\.?D|Dr|Prof|M\.?Sc|B\.?Sc|M\.?A|B\.?A|MPH|MBBS|FRCPC?|RN|P\.?Eng|Dipl|Ing|(?:Student|Senior|Life|Graduate)?\s?"
    r"(?:Member|Fellow)|IEEE|ACM)\.?(?:[-. ]*(?:Ing|Inf|rer|nat|habil|Phys|Math)\.?)*",
    re.IGNORECASE,
)
_TITLES = re.compile(r"^(?:(?:Prof|Professor|Dr|Dr\.-Ing|Mr|Mrs|Ms|Herr|Frau|Dipl\.-\w+|M\.Sc|B\.Sc)\.?\s+)+(?=\S+\s+\S)")
_PARTICLES = frozenset(
    re.findall(r"\w+", "von van der den de del della di da do dos das du la le el al bin ibn ben ter ten te zu zur vom af av y e i st")
)
_WORD = re.compile(r"(?:[^\W\d_]|['’ʼ`.\-‐‑])+")
_NO_NAME_WORDS = (
    "university universität universitat université universidad universita universiteit college institute institut instituto "
    "department dept departement school schule faculty fakultät laboratory laboratories lab labs centre center zentrum hospital "
    "academy research science sciences engineering technology technologies computing computer computers informatics mathematics "
    "physics chemistry biology medicine inc ltd llc gmbh corp corporation company group team division branch unit foundation "
    "consortium collaboration network project street road avenue usa uk china germany france japan india canada italy spain "
    "australia korea singapore switzerland netherlands america kingdom states republic national international state city the of in "
    "for on with at by an a to from is are as our its it this that abstract introduction keywords keyword summary contents article "
    "articles review letter letters report journal proceedings transactions conference workshop symposium published received "
    "accepted revised submitted available online copyright license licensee open access editor editors edited reviewed reviewers "
    "corresponding author authors correspondence correspondent email e-mail tel phone fax doi volume issue number page pages "
    "edition january february march april june july august september october november december todo anonymous unaffiliated "
    "independent researcher supervisor advisor committee master bachelor doctor doctoral thesis dissertation degree philosophy "
    "presented fulfillment requirements and or now new version draft preprint manuscript arxiv vol no figure table chapter section "
    "part appendix date name names institution affiliation affiliations januar februar märz mai juni juli oktober dezember auflage "
    "bachelorarbeit masterarbeit einführung zur zum im am "
)
_NO_NAME = frozenset(_NO_NAME_WORDS.split())
_SURNAMES = frozenset(
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏锺钟汪田任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤"
    "尹黎易常武乔贺赖龚文庞樊兰殷施陶洪翟安颜倪严牛温芦季俞章鲁葛伍韦申尤毕聂丛焦向柳邢路岳齐沿梅莫庄辛管祝左涂谷祁时舒耿牟卜詹关苗凌费纪靳盛童欧甄项曲成游阳裴席卫查屈鲍位覃霍翁隋植甘景薄单包司"
    "柏宁柯阮桂闵解强柴华车冉房边净阴闫佘蒲邬仇冷宫晏蒙胥古木冀阙岑丘应农储娄党涛桑芮缪滕戚连蔺宗祖匡卞巩皮褚封明池郁于仲劳张陳劉楊趙黃吳孫馬羅鄭謝韓馮蕭鄧許呂蘇盧蔣賈葉閻鍾譚鄒陸"
    "顧錢湯賴龔龐蘭陶顏嚴溫魯韋畢聶叢齊莊塗項單寧闞上欧诸司令尉付代么仝仉付代卓占原召和奚姬娜宛宿寇尚岩巴巫帅师平幸庆廉延弓归慕戈户扈拓晋曠木朴来杭林查栾楚楼樂水沙沃泰滑焉燕牧狄玄班琚由甯"
    "益盖相瞿督禹窦竺符米粟糜緒练羿胶能臧舍艾茅荀荆荣莘菅蓝蔚虞蛮袭訾谌谈豆贝贡贲赫越逄逯遇邝郎郗鄂都酆钮铁闻阚隗雍靖鞠饶騫鹿麦麻黃鼎齊"
)
_COMPOUND_SURNAMES = "欧阳 司马 上官 诸葛 东方 皇甫 尉迟 公孙 慕容 令狐 司徒 轩辕 夏侯 端木 南宫 歐陽 司馬 諸葛"
_COMPOUND = frozenset(_COMPOUND_SURNAMES.split())
_NO_CHINESE_NAME = re.compile(
    r"大学|学院|学报|研究|公司|项目|课题|编辑|委员|医院|中心|实验|作者|机构|邮箱|匿名|单位|姓名|摘要|日期|目录|引言|通[讯信]|关键|分类|基金|收稿|文章|论文|方法|分析"
    r"|工程|科学|技术|系统|模型|网络|算法|应用|基于|省|市|区$|系$|组$|部$|院$|所$|局$|厅$|室$|社$|课$|章$|节$|卷$|期$"
)
_CHINESE = re.compile(f"[{CJK}]+")


def names_in(text: str, *, lettered: bool = False) -> tuple[str, ...]:
    """The names in `text` as printed, in order, when it is a list of people and nothing else; otherwise empty. Never raises.

    `lettered`: each name ends with a letter that points to an affiliation ("Jane Smitha"), which is taken off.
    """
    found, wrong = _read(text, lettered)
    return () if wrong > 0.2 * len(found) else tuple(dict.fromkeys(found))


def share_of_names(text: str) -> float:
    """How much of a list is people, 0..1: a line cut out of a list of authors still ends with half a name."""
    found, wrong = _read(text, False)
    return len(found) / max(1, len(found) + wrong)


def _read(text: str, lettered: bool) -> tuple[list[str], int]:
    """The names in a list, and how many of its items are none."""
    level = " ".join(unicodedata.normalize("NFC", text[:LONGEST_LIST]).replace("\n", " ; ").split())
    cleaned = _DROPPED.sub(" ", level)
    items = [item.strip(" .·:：") if len(item.strip()) > 3 else item.strip() for item in _SPLIT.split(_MARKS.sub(" , ", cleaned))]
    found: list[str] = []
    wrong = 0
    last = max([*(item for item in items if _LETTER.fullmatch(item)), "f" if lettered else ""])
    for item in filter(None, items):
        if _SUFFIX.fullmatch(item):
            if found:
                found[-1] += f" {item}"
        elif _DEGREE.fullmatch(item) or _LETTER.fullmatch(item):
            continue
        elif made := _names(item, last):
            found += made
        else:
            wrong += 1
    return found, wrong


def _names(item: str, last_mark: str) -> list[str]:
    """The name that an item of the list is, or the several of a Chinese one; empty when it is none. Marks run from a to `last_mark`."""
    tokens = item.split()
    if all(map(_CHINESE.fullmatch, tokens)):
        joined = _chinese_tokens(tokens)
        return joined if all(map(_is_chinese_name, joined)) else []
    if len(tokens) > 2 and _LETTER.fullmatch(tokens[-1]):
        tokens.pop()
        last_mark = ""
    name = _TITLES.sub("", " ".join(tokens))
    if "a" <= name[-1:] <= last_mark and len(name.split()[-1]) > 2:
        name = name[:-1]
    return [name] if is_name(name) else []


def is_name(text: str) -> bool:
    """Whether `text` can be the whole name of one person in Latin script: two to six words, capitals, nothing of an address."""
    tokens = text.split()
    if not 2 <= len(tokens) <= 6 or len(text) > LONGEST_NAME:
        return False
    if any(token.strip(".,").casefold() in _NO_NAME for token in tokens if token not in ("A.", "An", "No")):
        return False
    own = [token for token in tokens if token.casefold() not in _PARTICLES]
    if len(own) < 2 or not all(_WORD.fullmatch(token) and _begins_large(token) for token in own):
        return False
    return any(sum(map(str.isalpha, token)) > 1 and not token.endswith(".") for token in own)


def _begins_large(token: str) -> bool:
    if len(token) > 2 and token[1] in "'’" and token[0].islower():  # d'Alembert
        return token[2].isupper()
    if token.casefold().startswith("al-"):
        return token[3:4].isupper()
    return token[0].isupper() and (len(token) < 5 or not _shouts_inside(token))


def _shouts_inside(token: str) -> bool:
    """A word like "PyTorch" or "AutoML": more than one capital after the first that begins no part of a name."""
    inner = re.sub(r"^(?:Mc|Mac|De|Van|La|Di|Le)?\w|[-'’.]\w", "", token)
    return any(map(str.isupper, inner)) and not token.isupper()


def _chinese_tokens(tokens: list[str]) -> list[str]:
    """Names of two characters are printed with a space between them: single characters are put together in pairs."""
    made: list[str] = []
    waiting = ""
    for token in tokens:
        if len(token) > 1:
            made += [waiting, token] if waiting else [token]
            waiting = ""
        elif waiting:
            made.append(waiting + token)
            waiting = ""
        else:
            waiting = token
    return [*made, waiting] if waiting else made


def _is_chinese_name(text: str) -> bool:
    if text[:2] in _COMPOUND:
        return 3 <= len(text) <= 4 and not _NO_CHINESE_NAME.search(text)
    return 2 <= len(text) <= 3 and text[0] in _SURNAMES and not _NO_CHINESE_NAME.search(text)
