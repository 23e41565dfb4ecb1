"""``stem demo``: the main job on real files, with failures made on purpose, and a tally that must add up."""
