"""PaperProof: chat with a library of research papers, with citations that are proved."""

VERSION = "0.1.0"
