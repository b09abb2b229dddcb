"""How much: from an Environment (and what was decided before) to a Plan.

One matrix of candidates against limits; the cheapest feasible row wins, and the
row of ratios is the explanation. Invariant: pure, no effects, no clock; the same
input gives the same plan, and cost never falls when demand rises.
"""
