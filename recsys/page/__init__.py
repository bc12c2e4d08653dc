"""Scores into the lists of one page. No article and no story twice."""
