"""Simulates the gate that ships: how often a candidate that lies exactly on a threshold passes.

numpy draws what an evaluation would have measured; lowbit.gate judges it. Outcomes of yes and no are not drawn: their
probabilities are summed.
"""
