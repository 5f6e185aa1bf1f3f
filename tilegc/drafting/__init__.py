"""A first run file from a list of files: what each of them is, which belong together, and what is left to fill in."""

from __future__ import annotations

from tilegc.drafting.draft import Draft, draft
from tilegc.drafting.run_file import Scaling, run_file, summary

__all__ = ["Draft", "Scaling", "draft", "run_file", "summary"]
