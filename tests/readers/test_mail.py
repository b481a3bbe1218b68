"""Mails: headers, bodies in every encoding, attachments, hidden text; messages of Outlook."""

from __future__ import annotations

import base64
from email.message import EmailMessage
from pathlib import Path

import pytest
from msg_maker import compound_file, make_msg
from reading import contents, reading, texts

from server.errors import Unreadable


def mail(**headers: str) -> EmailMessage:
    message = EmailMessage()
    for name, value in headers.items():
        message[name] = value
    return message


def test_plain_text_comes_before_html(tmp_path: Path) -> None:
    message = mail(Subject="会议 notes", From="李雷 <l@example.cn>", To="wu@example.org", Date="Mon, 01 Jan 2024 08:00:00 +0000")
    message.set_content("Hello 韩梅梅,\n\nthe text is short\nand wrapped.\n")
    message.add_alternative("<p>HTML</p>", subtype="html")
    message.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="论文.pdf")
    document = reading(tmp_path, "a.eml", message.as_bytes())
    head = "Subject: 会议 notes\nFrom: 李雷 <l@example.cn>\nTo: wu@example.org\nDate: Mon, 01 Jan 2024 08:00:00 +0000"
    assert contents(document) == [
        (("会议 notes",), "paragraph", head),
        (("会议 notes",), "paragraph", "Hello 韩梅梅,"),
        (("会议 notes",), "paragraph", "the text is short and wrapped."),
    ]
    assert document.title == "会议 notes"
    assert document.warnings == ("attachments were not read: 论文.pdf; save them and add them as files",)


def test_html_only(tmp_path: Path) -> None:
    message = mail(Subject="网页")
    message.set_content("<h1>标题</h1><table><tr><td>a<td>b<tr><td>1<td>2</table><p style='display:none'>secret</p>", subtype="html")
    document = reading(tmp_path, "a.eml", message.as_bytes())
    assert contents(document) == [(("网页", "标题"), "table", "a: 1 | b: 2")]
    assert [text.text for text in document.hidden] == ["secret"]


@pytest.mark.parametrize(
    ("charset", "encoding"), [("gb2312", "gbk"), ("big5", "big5"), ("utf-8", "utf-8"), ("unknown-8bit", "gb18030"), ("us-ascii", "gb18030")]
)
def test_text_and_raw_headers_in_the_encoding_of_the_part(tmp_path: Path, charset: str, encoding: str) -> None:
    text = "本文研究中文文本的方法"
    source = f"Subject: {text}\nContent-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: 8bit\n\n{text}\n"
    document = reading(tmp_path, "raw.eml", source.encode(encoding))
    assert (document.title, texts(document)) == (text, [text])


def test_encoded_words(tmp_path: Path) -> None:
    word = base64.b64encode("中文".encode("gb18030")).decode()
    document = reading(tmp_path, "w.eml", f"Subject: =?gb18030?B?{word}?= and =?utf-8?q?=E9=A1=B5?= =?x?y?z?=\n\ntext 文")
    assert document.title == "中文 and 页 =?x?y?z?="


def parts(kind: str, *pieces: str) -> str:
    """A multipart of this kind; each piece is "type/subtype\n\ntext"."""
    joined = "".join(f"--X{kind}\nContent-Type: {piece}\n" for piece in pieces)
    return f"multipart/{kind}; boundary=X{kind}\n\n{joined}--X{kind}--\n"


def test_forwarded_messages_keep_their_headers(tmp_path: Path) -> None:
    innermost = "From: dan@x.org\nSubject: oldest\nContent-Type: text/plain\n\nThe oldest text."
    page = parts("mixed", "text/html\n\n<h1>转发</h1><p>inner text")
    forwarded = f"From: carol@x.org\nSubject: inner\nDate: 1 Jun 2020\nContent-Type: {page}"
    body = parts(
        "digest",
        "text/plain\n\nouter text",
        f"message/rfc822\n\n{forwarded}",
        f"message/rfc822\n\n{innermost}",
        "text/plain\n\nlist footer",
    )
    document = reading(tmp_path, "f.eml", f"Subject: outer\nContent-Type: {body}")
    assert contents(document) == [
        (("outer",), "paragraph", "outer text"),
        (("outer", "inner"), "paragraph", "Subject: inner\nFrom: carol@x.org\nDate: 1 Jun 2020"),
        (("outer", "inner", "转发"), "paragraph", "inner text"),
        (("outer", "oldest"), "paragraph", "Subject: oldest\nFrom: dan@x.org"),
        (("outer", "oldest"), "paragraph", "The oldest text."),
        (("outer",), "paragraph", "list footer"),
    ]


LETTER = "text/html\n\n<h1>Results</h1><p>The experiment gave 42 percent accuracy, as the table shows.</p>"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            parts("mixed", LETTER, "text/plain\n\nlist footer"),
            ["The experiment gave 42 percent accuracy, as the table shows.", "list footer"],
        ),
        (
            parts("alternative", "text/plain\n\nYour mail program cannot show HTML.", LETTER),
            ["The experiment gave 42 percent accuracy, as the table shows."],
        ),
        (
            parts("alternative", "text/plain\n\n*Results*\n\nThe experiment gave 42 percent accuracy, as the table\nshows.", LETTER),
            ["*Results*", "The experiment gave 42 percent accuracy, as the table shows."],
        ),
        (
            parts(
                "alternative",
                "text/plain\n\nResults: the experiment gave 42 percent accuracy, as the table shows.",
                f"{LETTER}<p>Sent by Mailer",
            ),
            ["Results: the experiment gave 42 percent accuracy, as the table shows."],
        ),
        (parts("alternative", "text/plain\n\n", LETTER), ["The experiment gave 42 percent accuracy, as the table shows."]),
        (parts("alternative", "text/plain\n\nText.", "text/html\n\n<!-- none -->"), ["Text."]),
        (
            parts("alternative", "text/plain\n\nText.", f"{parts('related', LETTER)}"),
            ["The experiment gave 42 percent accuracy, as the table shows."],
        ),
        (
            parts("alternative", LETTER.replace("text/html", "text/x-amp-html"), LETTER),
            ["The experiment gave 42 percent accuracy, as the table shows."],
        ),
    ],
)
def test_one_of_two_forms_and_all_of_several_parts(tmp_path: Path, body: str, expected: list[str]) -> None:
    assert texts(reading(tmp_path, "m.eml", f"Subject: s\nContent-Type: {body}")) == expected


def test_an_invitation_is_named_and_its_text_read(tmp_path: Path) -> None:
    body = parts("alternative", "text/html\n\n<p>Meeting about 论文 on Friday", "text/calendar\n\nBEGIN:VCALENDAR")
    document = reading(tmp_path, "c.eml", f"Subject: s\nContent-Type: {body}")
    assert texts(document) == ["Meeting about 论文 on Friday"]
    assert document.warnings == ("attachments were not read: text/calendar; save them and add them as files",)


NESTED = "".join(f"Content-Type: multipart/mixed; boundary=b{number}\n\n--b{number}\n" for number in range(3000))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("\x89PNG", "does not begin with a header"),
        ("just a text\n", "does not begin with a header"),
        ("Subject: x\n\n", "holds no text"),
        (f"{NESTED}x", "nested too deeply"),
        ("Content-Type: text/plain; " + "a=b; " * 5000 + "\n\nx", "describes its type in more than 20000 characters"),
        ("Content-Type: multipart/mixed; boundary=b\n\n" + "--b\n\nx\n" * 6000, "more than 5000 parts"),
    ],
)
def test_bad_mail(tmp_path: Path, source: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        reading(tmp_path, "bad.eml", source)


def test_outlook_message(tmp_path: Path) -> None:
    made = make_msg(subject="会议", body="第一段。\r\n\r\nSecond.", sender="李雷 <l@x.cn>", to=("Wu", "wu@x.org"), attached="论文.pdf")
    document = reading(tmp_path, "a.msg", made)
    assert contents(document) == [
        (("会议",), "paragraph", "Subject: 会议\nFrom: 李雷 <l@x.cn>\nTo: Wu <wu@x.org>"),
        (("会议",), "paragraph", "第一段。"),
        (("会议",), "paragraph", "Second."),
    ]
    assert document.warnings == ("attachments were not read: 论文.pdf; save them and add them as files",)


def test_outlook_message_whose_text_is_a_stub(tmp_path: Path) -> None:
    page = "<p>The whole newsletter, which says a lot more than the text beside it does."
    document = reading(tmp_path, "a.msg", make_msg(subject="h", body="Cannot show HTML.", html=page.encode()))
    assert texts(document) == ["The whole newsletter, which says a lot more than the text beside it does."]


def test_outlook_message_in_html(tmp_path: Path) -> None:
    document = reading(tmp_path, "a.msg", make_msg(subject="h", html="<p>网页</p><p hidden>secret</p>".encode()))
    assert (texts(document), [text.text for text in document.hidden]) == (["网页"], ["secret"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"From: x\n\ntext", "no Outlook message although it is named"),
        (make_msg(subject="x", body="y")[:600], "damaged"),
        (make_msg(subject="x"), "as RTF only, or none"),
        (compound_file({"WordDocument": b"x"}), "another Office file"),
    ],
)
def test_bad_outlook_message(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        reading(tmp_path, "bad.msg", content)
