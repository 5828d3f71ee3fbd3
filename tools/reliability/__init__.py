"""Figures of reliability: `make audit-tests` measures them, part by part, and a page of the book shows them."""
