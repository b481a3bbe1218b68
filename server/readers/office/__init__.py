"""Files of office programs -> documents: Word, OpenDocument, RTF, Excel, PowerPoint; container.py checks what they all are inside."""
