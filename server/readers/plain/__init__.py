"""Text files -> documents: plain text, Markdown, reStructuredText, tables, data, source code."""
