"""Cohorts on an accelerator: drawn, trained and evaluated where the data lies, without the host."""
