"""Marked-up files -> documents: web pages, e-books, articles in XML, mails."""
