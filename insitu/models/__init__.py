"""Networks as signed bundles: what a bundle is (`manifest`, `bundle`), who vouches for it (`signing`), what its graph
may hold (`graph`, `shapes`), how its input is made from a frame (`preparing`), and where bundles are kept (`registry`).

Nothing is imported here: a recipe without a network pays nothing for this room.
"""
