"""Real audits, disturbed: killed, interrupted, out of disk or memory, damaged, changed, doubled."""
