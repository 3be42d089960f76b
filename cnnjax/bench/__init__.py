"""Beside the pipeline, bench: how fast a recipe runs on this machine, and what it needs; writes nothing.

measure   cnnjax bench: steps taken and timed       plan   cnnjax plan: what a training will take, from shapes alone
synthetic made-up images in a recipe's shapes     peaks  what devices could do at best
doctor    cnnjax doctor: what is installed here     canaries, reference   whether it computes the right numbers
"""
