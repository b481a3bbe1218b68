"""First pages of publishers, one function each, and what a reader should make of them."""

from __future__ import annotations

from pathlib import Path

from tests.readers.front_pages import WIDTH, Text, below, centred, one_column, paragraph, prose, two_columns, typeset

ABSTRACT = (
    "Rivers carry wood to the sea, and what it does there is hardly known. Here we follow four hundred logs over three years and show that "
    "most of them sink within ten weeks. The depth at which they come to rest depends on their bark. We conclude that drift models need it."
)
WIDE_ABSTRACT = (
    "河流把大量木材带入海洋，而其后续过程尚不清楚。本文跟踪了四百根原木三年，发现大多数在十周之内下沉。原木停留的深度取决于树皮的厚度。"
    "据此，漂流模型需要考虑树皮的作用，并给出了相应的修正办法。"
)


def elsevier(path: Path) -> Path:
    texts = [
        centred("Journal of Cleaner Rivers 280 (2021) 124553", 40, 8),
        centred("Contents lists available at ScienceDirect", 70, 9),
        centred("Journal of Cleaner Rivers", 95, 16),
        centred("journal homepage: www.example.com/locate/rivers", 115, 8),
        Text("How bark decides where driftwood comes to rest: A three-year", 50, 160, 13.5),
        Text("study of logs from boreal rivers", 50, 176, 13.5),
        Text("Jane A. Smith^a,b,*^, Ole Sørensen^a^, María José García-López^c^", 50, 205, 11),
        Text("^a^ School of Water Engineering, University of the North, Oulu, Finland", 50, 225, 7, "tiit"),
        Text("^b^ Department of Geography, Western College, Bergen, Norway", 50, 235, 7, "tiit"),
        Text("^c^ Instituto del Mar, Vigo, Spain", 50, 245, 7, "tiit"),
        Text("A R T I C L E  I N F O", 50, 280, 8),
        Text("A B S T R A C T", 200, 280, 8),
        Text("Article history:", 50, 300, 7, "tiit"),
        Text("Received 3 March 2020", 50, 309, 7),
        Text("Accepted 2 October 2020", 50, 318, 7),
        Text("Available online 15 October 2020", 50, 327, 7),
        Text("Keywords:", 50, 345, 7, "tiit"),
        Text("Driftwood", 50, 354, 7),
        Text("Bark", 50, 363, 7),
        *paragraph(ABSTRACT, 200, 300, 545, size=8),
        Text("1. Introduction", 50, 420, 10, "tibo"),
        *two_columns(436),
        Text("* Corresponding author.", 50, 790, 7),
        Text("E-mail address: j.smith@example.org (J.A. Smith).", 50, 799, 7),
        Text("https://doi.org/10.1016/j.jclr.2020.124553", 50, 815, 7),
        Text("0959-6526/© 2020 Elsevier Ltd. All rights reserved.", 50, 824, 7),
        Text("J.A. Smith et al.", 50, 40, 8, page=1),
        Text("Journal of Cleaner Rivers 280 (2021) 124553", 400, 40, 8, page=1),
        *two_columns(70, page=1),
    ]
    return typeset(path, texts)


def ieee_journal(path: Path) -> Path:
    texts = [
        Text("IEEE TRANSACTIONS ON RIVERS, VOL. 12, NO. 3, MARCH 2021", 50, 35, 7),
        Text("1123", 530, 35, 7),
        centred("Learning to Predict Where Logs Sink From", 80, 24),
        centred("Sparse Images of Their Bark", 108, 24),
        centred("Jane A. Smith, Member, IEEE, Wei Zhang, Senior Member, IEEE, and Ole B. Hansen", 135, 11),
        *paragraph(f"Abstract-{ABSTRACT}".replace("Abstract-", "Abstract\u2014"), 50, 170, 290, size=9, font="tibo"),
    ]
    y = below(texts, 1.3)
    texts += paragraph("Index Terms\u2014Driftwood, bark, images, rivers.", 50, y, 290, size=9, font="tibo")
    y = below(texts, 2.5)
    texts += [
        centred("I. INTRODUCTION", y, 10, middle=170),
        *[text for text in two_columns(170) if text.x > 200 or (text.y > y + 8 and text.y < 700)],
        Text("Manuscript received June 5, 2020; revised September 9, 2020; accepted", 50, 730, 8),
        Text("November 1, 2020. Digital Object Identifier 10.1109/TRIV.2020.3012345", 50, 740, 8),
        Text("IEEE TRANSACTIONS ON RIVERS, VOL. 12, NO. 3, MARCH 2021", 300, 35, 7, page=1),
        *two_columns(70, page=1),
    ]
    return typeset(path, texts)


def ieee_conference(path: Path) -> Path:
    texts = [
        centred("Counting Logs in Rivers From the Air", 70, 24),
        *(
            centred(text, y, size, font, middle)
            for middle, rows in (
                (130, ["Jane A. Smith", "Dept. of Hydrology", "University of the North", "Oulu, Finland", "jane@example.org"]),
                (WIDTH / 2, ["Wei Zhang", "School of Computing", "River College", "New York, USA", "wei@example.org"]),
                (465, ["Ole B. Hansen", "Drift Research Ltd.", "Bergen, Norway", "ole@example.org"]),
            )
            for y, text, size, font in zip(
                (110, 122, 134, 146, 158), rows, (11, 10, 10, 10, 10), ("tiro", "tiit", "tiit", "tiro", "tiro"), strict=False
            )
        ),
        *paragraph(f"Abstract\u2014{ABSTRACT}", 50, 200, 290, size=9, font="tibo"),
    ]
    y = below(texts, 2.5)
    texts += [
        centred("I. INTRODUCTION", y, 10, middle=170),
        *[text for text in two_columns(200) if text.x > 200 or (text.y > y + 8 and text.y < 700)],
        Text("978-1-7281-1234-5/20/$31.00 ©2020 IEEE", 50, 800, 8),
        *two_columns(70, page=1),
    ]
    return typeset(path, texts)


def arxiv_preprint(path: Path) -> Path:
    texts = [
        Text("arXiv:2101.01234v2  [cs.LG]  3 Jan 2021", 30, 560, 20, turn=90),
        centred("Drift Networks: Bark-Aware Forecasts of", 100, 17, "tibo"),
        centred("Wood at Sea*", 120, 17, "tibo"),
        *(
            centred(text, y, 10, font, middle)
            for middle, rows in (
                (
                    200,
                    ["Jane A. Smith", "University of the North", "jane@example.org", "Ole B. Hansen", "Drift Research", "ole@example.org"],
                ),
                (400, ["Wei Zhang", "River College", "wei@example.org", "Ana García", "Instituto del Mar", "ana@example.org"]),
            )
            for y, text, font in zip((160, 171, 182, 206, 217, 228), rows, ("tibo", "tiro", "cour", "tibo", "tiro", "cour"), strict=True)
        ),
        centred("Abstract", 265, 12, "tibo"),
        *paragraph(ABSTRACT, 144, 285, WIDTH - 144),
        Text("1   Introduction", 108, 370, 12, "tibo"),
        *one_column(390, x=108),
        Text("Preprint. Under review.", 108, 805, 9),
        *one_column(70, page=1, x=108),
    ]
    return typeset(path, texts)


def chinese_journal(path: Path) -> Path:
    texts = [
        Text("第41卷  第3期", 50, 40, 9),
        centred("河 流 学 报", 40, 9),
        Text("Vol. 41  No. 3", 480, 40, 9),
        Text("2021年3月", 50, 54, 9),
        centred("CHINESE JOURNAL OF RIVERS", 54, 9),
        Text("Mar. 2021", 480, 54, 9),
        centred("树皮厚度对漂木沉降深度的影响研究", 100, 18),
        centred("张  伟^1)^  李晓明^1),2)^  欧阳静^2)^", 130, 14),
        centred("^1)^（北方大学水利学院  北京  100871）", 150, 9),
        centred("^2)^（海洋研究所  青岛  266071）", 162, 9),
        *paragraph(f"摘  要  {WIDE_ABSTRACT}", 70, 190, 525, size=9),
    ]
    y = below(texts)
    texts += [
        Text("关键词  漂木；树皮；沉降；河流", 70, y, 9),
        Text("中图法分类号 TV12    DOI号 10.11897/SP.J.1016.2021.00412", 70, y + 14, 9),
        centred("Effects of Bark Thickness on the Depth at Which Driftwood Sinks", y + 44, 14, "tibo"),
        centred("ZHANG Wei^1)^  LI Xiao-Ming^1),2)^  OUYANG Jing^2)^", y + 62, 10),
        centred("^1)^(School of Water, University of the North, Beijing 100871)", y + 76, 9),
        *paragraph(f"Abstract  {ABSTRACT}", 70, y + 96, 525, size=9),
    ]
    y = below(texts)
    texts += [
        Text("Keywords  driftwood; bark; settling; rivers", 70, y, 9),
        Text("1  引言", 50, y + 34, 14),
        *two_columns(y + 54, wide=True),
        Text("收稿日期：2020-03-01；修回日期：2020-11-12。基金项目：国家自然科学基金。", 50, 800, 8),
        *two_columns(70, page=1, wide=True),
    ]
    return typeset(path, texts)


def springer_lncs(path: Path) -> Path:
    texts = [
        centred("Sinking Logs and the Limits of Drift", 120, 14, "tibo"),
        centred("Models for Cold Rivers", 137, 14, "tibo"),
        centred("Jane A. Smith^1^[0000-0002-1825-0097] and Ole B. Hansen^2^", 165),
        centred("^1^ University of the North, Oulu, Finland", 182, 9),
        centred("jane@example.org", 193, 9, "cour"),
        centred("^2^ Drift Research, Bergen, Norway", 204, 9),
        *paragraph(f"Abstract. {ABSTRACT}", 165, 240, 435, size=9),
    ]
    y = below(texts, 2)
    texts += [
        Text("Keywords: Driftwood · Bark · Rivers", 165, y, 9),
        Text("1   Introduction", 134, y + 40, 12, "tibo"),
        *one_column(y + 60, x=134),
        *one_column(70, page=1, x=134),
    ]
    return typeset(path, texts, info={"title": "Microsoft Word - sinking_final.docx", "author": "jas"})


def physics_letter(path: Path) -> Path:
    texts = [
        centred("PHYSICAL REVIEW OF RIVERS 123, 061101 (2019)", 40, 11),
        centred("Settling of Wood in Turbulent Water", 90, 12, "tibo"),
        centred("J. A. Smith,^1,*^ W. Zhang,^2^ and O. B. Hansen^1,2^", 115),
        centred("^1^University of the North, Oulu, Finland", 130, 9, "tiit"),
        centred("^2^River College, New York, USA", 142, 9, "tiit"),
        centred("(Received 5 May 2018; published 7 August 2019)", 160, 9),
        *paragraph(ABSTRACT, 110, 180, 485, size=9),
    ]
    y = below(texts, 2)
    texts += [
        Text("DOI: 10.1103/PhysRevRivers.123.061101", 110, y, 8),
        *two_columns(y + 40),
        *two_columns(70, page=1),
    ]
    return typeset(path, texts)


def magazine(path: Path) -> Path:
    texts = [
        Text("Article", 45, 40, 14, "hebo"),
        Text("Bark sets the depth at which", 45, 80, 24, "hebo"),
        Text("driftwood comes to rest", 45, 108, 24, "hebo"),
        Text("https://doi.org/10.1038/s41586-020-1234-5", 45, 150, 7, "helv"),
        Text("Jane A. Smith^1,2*^, Wei Zhang^3^ & María José García-López^1^", 200, 150, 10, "hebo"),
        Text("Received: 2 March 2019", 45, 162, 7, "helv"),
        Text("Accepted: 11 December 2019", 45, 174, 7, "helv"),
        Text("Published online: 4 March 2020", 45, 186, 7, "helv"),
        *paragraph(ABSTRACT, 200, 190, 550, size=10, font="tibo"),
        *[text for text in two_columns(290) if text.y < 740],
        Text(
            "^1^University of the North, Oulu, Finland. ^2^Drift Research, Bergen, Norway. ^3^River College, New York, USA.",
            45,
            780,
            7,
            "helv",
        ),
        Text("Nature of Rivers | Vol 579 | 5 March 2020 | 123", 350, 815, 7, "helv"),
        *two_columns(70, page=1),
    ]
    return typeset(path, texts)


def open_access(path: Path) -> Path:
    side = [
        "OPEN ACCESS",
        "Citation: Smith JA, Zhang W (2020) Logs",
        "and their bark. PLoR ONE 15(3): e0230000.",
        "https://doi.org/10.1371/journal.",
        "plor.0230000",
        "Editor: Ana García, Instituto del Mar, SPAIN",
        "Received: June 5, 2019",
        "Accepted: February 18, 2020",
        "Published: March 12, 2020",
        "Data Availability Statement: All data are",
        "at https://doi.org/10.5061/dryad.abc12.",
    ]
    texts = [
        Text("RESEARCH ARTICLE", 200, 80, 10, "helv"),
        Text("Logs and their bark: A randomised", 200, 105, 18, "hebo"),
        Text("drift experiment", 200, 126, 18, "hebo"),
        Text("Jane A. Smith^1¤^*, Wei Zhang^2^, Ole B. Hansen^1,2^", 200, 150, 10, "hebo"),
        *paragraph(
            "1 Department of Hydrology, University of the North, Oulu, Finland, 2 River College, New York, USA",
            200,
            170,
            560,
            size=8,
            font="helv",
        ),
        Text("* jane@example.org", 200, 205, 8, "helv"),
        *(Text(line, 36, 300 + 11 * at, 7, "helv") for at, line in enumerate(side)),
        Text("Abstract", 200, 230, 14, "hebo"),
    ]
    y = 252.0
    for name, text in zip(("Background", "Methods and findings", "Conclusions"), ABSTRACT.split(". ", 2), strict=True):
        texts.append(Text(name, 200, y, 11, "hebo"))
        texts += paragraph(f"{text.rstrip('.')}. {prose(200)}", 200, y + 16, 560)
        y = below(texts, 2.2)
    texts += [
        Text("Introduction", 200, y + 6, 14, "hebo"),
        *[text for text in paragraph(prose(2500), 200, y + 26, 560) if text.y < 775],
        Text("PLoR ONE | https://doi.org/10.1371/journal.plor.0230000  March 12, 2020", 36, 820, 7, "helv"),
        *one_column(70, page=1, x=200),
    ]
    return typeset(path, texts)


def thesis(path: Path) -> Path:
    texts = [
        centred("University of the North", 90, 16),
        centred("Faculty of Water Engineering", 112, 14),
        centred("The Long Way Down: On the Sinking", 250, 22, "tibo"),
        centred("of Wood in Cold Seas", 278, 22, "tibo"),
        centred("A thesis submitted in partial fulfilment of the requirements", 340, 12),
        centred("for the degree of Doctor of Philosophy", 356, 12),
        centred("by", 400, 12),
        centred("Jane Anne Smith", 425, 14),
        centred("Supervisor: Prof. Dr. Ole B. Hansen", 500, 12),
        centred("Oulu, May 2019", 700, 12),
        Text("Contents", 72, 100, 16, "tibo", 1),
        *one_column(140, page=1),
        Text("1 Introduction", 72, 70, 14, "tibo", 2),
        *one_column(100, page=2),
        *one_column(70, page=3),
    ]
    return typeset(path, texts)


def chinese_thesis(path: Path) -> Path:
    texts = [
        Text("学校代码：10001", 400, 60, 10),
        centred("北方大学", 120, 26),
        centred("硕士学位论文", 160, 22),
        centred("漂木沉降过程的观测与模拟", 260, 24),
        Text("作者：王小红", 200, 400, 14),
        Text("导师：李建国  教授", 200, 430, 14),
        centred("二〇二一年六月", 600, 14),
        Text("摘  要", 270, 80, 16, page=1),
        *paragraph(WIDE_ABSTRACT + prose(200, True), 72, 110, 523, size=12, page=1),
        Text("关键词：漂木；树皮", 72, 300, 12, page=1),
        Text("第一章  绪论", 72, 80, 16, page=2),
        *one_column(120, page=2, wide=True, size=12),
        *one_column(70, page=3, wide=True, size=12),
    ]
    return typeset(path, texts, info={"creationDate": "D:20210612100000+08'00'"})


def acm(path: Path) -> Path:
    texts = [
        centred("Streaming Bark: Wood Tracking on", 80, 17, "hebo"),
        centred("Small Machines", 100, 17, "hebo"),
        *(
            centred(text, y, size, "tiro", middle)
            for middle, rows in (
                (170, ["Jane A. Smith", "University of the North", "Oulu, Finland", "jane@example.org"]),
                (420, ["Wei Zhang\u2217", "River College", "New York, United States", "wei@example.org"]),
            )
            for y, text, size in zip((130, 144, 155, 166), rows, (12, 10, 10, 10), strict=True)
        ),
        Text("ABSTRACT", 50, 200, 11, "hebo"),
        *paragraph(ABSTRACT, 50, 215, 290, size=9),
    ]
    y = below(texts, 2)
    texts += [
        Text("CCS CONCEPTS", 50, y, 11, "hebo"),
        *paragraph("\u2022 Applied computing \u2192 Environmental sciences.", 50, y + 14, 290, size=9),
        Text("KEYWORDS", 50, y + 36, 11, "hebo"),
        Text("driftwood, bark, streams", 50, y + 50, 9),
        Text("ACM Reference Format:", 50, y + 68, 8, "tibo"),
        *paragraph(
            "Jane A. Smith and Wei Zhang. 2020. Streaming Bark: Wood Tracking on Small Machines. "
            "In Proceedings of the Conference on Rivers "
            "(CR '20), August 2020, Oulu, Finland. https://doi.org/10.1145/3292500.3330701",
            50,
            y + 79,
            290,
            size=8,
        ),
        Text("1   INTRODUCTION", 50, y + 140, 11, "hebo"),
        *[text for text in two_columns(200, size=9) if text.x > 200 or text.y > y + 155],
        *two_columns(70, page=1, size=9),
    ]
    return typeset(path, texts)


LAYOUTS = {
    elsevier: (
        "How bark decides where driftwood comes to rest: A three-year study of logs from boreal rivers",
        ("Jane A. Smith", "Ole Sørensen", "María José García-López"), 2021, "10.1016/j.jclr.2020.124553", "", ABSTRACT,
    ),
    ieee_journal: (
        "Learning to Predict Where Logs Sink From Sparse Images of Their Bark",
        ("Jane A. Smith", "Wei Zhang", "Ole B. Hansen"), 2021, "10.1109/triv.2020.3012345", "", ABSTRACT,
    ),
    ieee_conference: (
        "Counting Logs in Rivers From the Air", ("Jane A. Smith", "Wei Zhang", "Ole B. Hansen"), 2020, "", "", ABSTRACT,
    ),
    arxiv_preprint: (
        "Drift Networks: Bark-Aware Forecasts of Wood at Sea",
        ("Jane A. Smith", "Wei Zhang", "Ole B. Hansen", "Ana García"), 2021, "", "2101.01234v2", ABSTRACT,
    ),
    chinese_journal: (
        "树皮厚度对漂木沉降深度的影响研究", ("张伟", "李晓明", "欧阳静"), 2021, "10.11897/sp.j.1016.2021.00412", "", WIDE_ABSTRACT,
    ),
    springer_lncs: (
        "Sinking Logs and the Limits of Drift Models for Cold Rivers", ("Jane A. Smith", "Ole B. Hansen"), None, "", "", ABSTRACT,
    ),
    physics_letter: (
        "Settling of Wood in Turbulent Water",
        ("J. A. Smith", "W. Zhang", "O. B. Hansen"), 2019, "10.1103/physrevrivers.123.061101", "", ABSTRACT,
    ),
    magazine: (
        "Bark sets the depth at which driftwood comes to rest",
        ("Jane A. Smith", "Wei Zhang", "María José García-López"), 2020, "10.1038/s41586-020-1234-5", "", ABSTRACT,
    ),
    open_access: (
        "Logs and their bark: A randomised drift experiment",
        ("Jane A. Smith", "Wei Zhang", "Ole B. Hansen"), 2020, "10.1371/journal.plor.0230000", "", None,
    ),
    thesis: ("The Long Way Down: On the Sinking of Wood in Cold Seas", ("Jane Anne Smith",), 2019, "", "", ""),
    chinese_thesis: ("漂木沉降过程的观测与模拟", ("王小红",), 2021, "", "", WIDE_ABSTRACT + prose(200, True)),
    acm: (
        "Streaming Bark: Wood Tracking on Small Machines", ("Jane A. Smith", "Wei Zhang"), 2020, "10.1145/3292500.3330701", "", ABSTRACT,
    ),
}  # fmt: skip
