"""Scanned pages and images -> lines by optical character recognition; begin with scans.py."""
