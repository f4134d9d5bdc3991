"""Evaluates predictions against references: pairs, scores, statistics, comparisons, tables."""
