"""The report of a sample: one page and its figures."""

from tilegc.samples.report.page import failure, write_sample_report

__all__ = ["failure", "write_sample_report"]
