"""Outlook messages for tests: fields and attachments -> the bytes of a .msg file, a compound file of streams below 4096 bytes."""

from __future__ import annotations

import struct
from collections.abc import Mapping

_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
Tree = Mapping[str, "bytes | Tree"]


def make_msg(
    *, subject: str = "", body: str = "", html: bytes = b"", sender: str = "", to: tuple[str, str] = ("", ""), attached: str = ""
) -> bytes:
    """A message; `sender` stands in its transport headers, `to` is (name, address)."""
    tree: dict[str, bytes | Tree] = {}
    texts = {"001A": "IPM.Note", "0037": subject, "1000": body, "007D": f"From: {sender}\r\n\r\n" if sender else ""}
    _put(tree, b"\0" * 8 + struct.pack("<4I", 1, 1, bool(to[0]), bool(attached)) + b"\0" * 8, texts, {"1013": html})
    if to[0]:
        recipient: dict[str, bytes | Tree] = {}
        _put(recipient, b"\0" * 8, {"3001": to[0], "3003": to[1]}, {})
        tree["__recip_version1.0_#00000000"] = recipient
    if attached:
        attachment: dict[str, bytes | Tree] = {}
        _put(attachment, b"\0" * 8, {"3707": attached}, {"3701": b"%PDF-"})
        tree["__attach_version1.0_#00000000"] = attachment
    return compound_file(tree)


def _put(tree: dict[str, bytes | Tree], head: bytes, texts: Mapping[str, str], binaries: Mapping[str, bytes]) -> None:
    entries = b"".join(
        struct.pack("<HHII4x", kind, int(number, 16), 6, len(value))
        for kind, values in ((0x1F, texts), (0x102, binaries))
        for number, value in values.items()
        if value
    )
    entries += struct.pack("<HHII4x", 0x3, 0x3FDE, 6, 65001)  # the code page of the HTML: UTF-8
    tree["__properties_version1.0"] = head + entries
    tree |= {f"__substg1.0_{number}001F": value.encode("utf-16-le") for number, value in texts.items() if value}
    tree |= {f"__substg1.0_{number}0102": value for number, value in binaries.items() if value}


def compound_file(tree: Tree) -> bytes:
    """A compound file of version 3 whose streams all lie in the mini stream."""
    entries: list[bytes] = []
    mini = bytearray()
    mini_fat: list[int] = []

    def add(name: str, kind: int, right: int, child: int, start: int, size: int) -> None:
        encoded = name.encode("utf-16-le")
        head = encoded.ljust(64, b"\0") + struct.pack("<HBB3I", len(encoded) + 2, kind, 1, _FREE, right, child)
        entries.append(head + b"\0" * 36 + struct.pack("<IQ", start, size))

    def fill(node: Tree) -> int:
        """Put the children of a storage, each the right neighbour of the one before; the number of the first one."""
        place = len(entries)
        names = sorted(node, key=lambda name: (len(name), name.upper()))
        entries.extend(b"" for _ in names)
        for at, name in enumerate(names):
            value = node[name]
            right = place + at + 1 if at + 1 < len(names) else _FREE
            start, size, child = 0, 0, _FREE
            if isinstance(value, bytes):
                start, size = len(mini) // 64, len(value)
                count = -(-size // 64)
                mini.extend(value.ljust(count * 64, b"\0"))
                mini_fat.extend([*range(start + 1, start + count), _END][:count])
            else:
                child = fill(value)
            add(name, 2 if isinstance(value, bytes) else 1, right, child, start, size)
            entries[place + at] = entries.pop()
        return place if names else _FREE

    entries.append(b"")
    child = fill(tree)
    sectors: list[bytes] = []
    fat: list[int] = []

    def store(data: bytes, pad: bytes) -> int:
        first, count = len(sectors), -(-len(data) // 512)
        sectors.extend(data[at * 512 : at * 512 + 512].ljust(512, pad) for at in range(count))
        fat.extend([*range(first + 1, first + count), _END])
        return first

    mini_start = store(bytes(mini), b"\0")
    mini_fat_start = store(struct.pack(f"<{len(mini_fat)}I", *mini_fat), b"\xff")
    mini_fat_count = len(sectors) - mini_fat_start
    add("Root Entry", 5, _FREE, child, mini_start, len(mini))
    entries[0] = entries.pop()
    directory = store(b"".join(entries), b"\0")
    fat_sector = len(sectors)
    fat += [_FAT]
    sectors.append(struct.pack("<128I", *[*fat, *[_FREE] * (128 - len(fat))]))
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 16 + struct.pack("<5H6x", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<9I", 0, 1, directory, 0, 4096, mini_fat_start, mini_fat_count, _END, 0)
    return header + struct.pack("<109I", fat_sector, *[_FREE] * 108) + b"".join(sectors)
